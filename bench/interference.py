"""How much bad clients slow down a well-behaved one: its p99 with each kind of them present, divided by its p99 alone.

  cargo build --release --bin stemedb-api
  python3 bench/interference.py

The server has one core, pinned to CPU 0. The well-behaved client is on CPU 1: one connection that stores one claim of
200 bytes after another, each durable before the next is sent. The bad clients are on CPU 1 too, but where the system
permits it the well-behaved one has real-time priority there, so that it waits for the server and not for them.

Every round measures the well-behaved client alone and with each kind, on one server. A ratio is that of the
medians over the rounds; beside it stands the range of the ratios within rounds.
"""

import argparse
import contextlib
import gc
import json
import multiprocessing
import os
import random
import resource
import signal
import socket
import statistics
import struct
import sys
import tempfile
import time

import measured
from measured import LOAD_CPU, REPOSITORY, ServerFailed

RATIO_MAX = 1.5
CLAIM_BYTES = 200
WARM_UP_SECONDS = 0.5
IDLE_CONNECTIONS = 10_000
CONNECTIONS_AN_ADDRESS = 4_000
LARGE_CLAIMS = 400
LARGE_VALUE_BYTES = 2000


def main():
    options = parse_arguments()
    measured.begin(options.server)
    raise_descriptor_limit(IDLE_CONNECTIONS + 1000)
    rounds = []
    with tempfile.TemporaryDirectory(dir=options.dir) as directory, measured.stemedb(options.server, directory) as server:
        store_large_claims(server.port)
        for number in range(1, options.rounds + 1):
            print(f"round {number} of {options.rounds}", file=sys.stderr)
            rounds.append(measure_round(server, options))
    report(rounds, options)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--dir", default="/var/tmp", help="where the data goes while it is measured; a real disk (default: %(default)s)")
    parser.add_argument("--server", default=os.path.join(REPOSITORY, "target", "release", "stemedb-api"))
    parser.add_argument("--only", action="append", choices=KINDS, help="this kind of bad clients; may be repeated")
    parser.add_argument("--json", help="also write the figures to this file")
    return parser.parse_args()


def measure_round(server, options):
    kinds = options.only or list(KINDS)
    measured = {}
    # Each kind in turn comes first, so that none is always measured on a fresh or an old server.
    for kind in random.sample(["alone", *kinds], len(kinds) + 1):
        with contextlib.ExitStack() as present:
            if kind != "alone":
                present.enter_context(bad_clients(kind, server.port))
            measured[kind] = measure_well_behaved(server.port, options.seconds)
        with contextlib.closing(connect(server.port)) as connection:
            status, health = exchange(connection, request("GET", "/v1/health"))
        if status != 200 or json.loads(health)["status"] != "healthy":
            raise ServerFailed(f"after {kind}: {status} {health}")
    return measured


def report(rounds, options):
    alone = statistics.median(measured["alone"]["p99_us"] for measured in rounds)
    p50 = statistics.median(measured["alone"]["p50_us"] for measured in rounds)
    print(f"alone: p50 {p50:.0f} µs, p99 {alone:.0f} µs, medians of {len(rounds)} rounds of {options.seconds:g} s")
    print(f"{'with':16} {'p50 µs':>7} {'p99 µs':>7} {'ratio of p99':>13} {'in rounds':>15}")
    rows, exceeded = [], False
    for kind in (kind for kind in KINDS if kind in rounds[0]):
        p50 = statistics.median(measured[kind]["p50_us"] for measured in rounds)
        p99 = statistics.median(measured[kind]["p99_us"] for measured in rounds)
        ratios = sorted(measured[kind]["p99_us"] / measured["alone"]["p99_us"] for measured in rounds)
        ratio = p99 / alone
        exceeded |= ratio > RATIO_MAX
        mark = " above the bound" if ratio > RATIO_MAX else ""
        print(f"{kind:16} {p50:7.0f} {p99:7.0f} {ratio:13.2f} {ratios[0]:7.2f}–{ratios[-1]:.2f}{mark}")
        rows.append({"kind": kind, "what": KINDS[kind].__doc__, "p50_us": p50, "p99_us": p99, "ratio": ratio})
    print(f"bound: {RATIO_MAX}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"alone_p99_us": alone, "rows": rows, "rounds": rounds}, file, indent=2)
    sys.exit(1 if exceeded else 0)


# The well-behaved client.


def measure_well_behaved(port, seconds):
    """p50 and p99 of durable writes, one after another, in a process of their own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=write_well_behaved, args=(port, seconds, there), daemon=True)
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        raise ServerFailed("the well-behaved client has failed, see above") from None
    finally:
        process.join()


def write_well_behaved(port, seconds, pipe):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.sched_setaffinity(0, {LOAD_CPU})
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.disable()
    connection = connect(port)
    name = os.urandom(6).hex()
    latencies_us = []
    began = time.perf_counter()
    number = 0
    while (now := time.perf_counter()) < began + WARM_UP_SECONDS + seconds:
        claim = f'{{"concept_path":"well/behaved/{number % 1000}","predicate":"{name}","value":{number},"source":"'
        claim += "s" * (CLAIM_BYTES - len(claim) - 2) + '"}'
        message = request("POST", "/v1/assert", claim.encode())
        sent = time.perf_counter_ns()
        status, body = exchange(connection, message)
        if now > began + WARM_UP_SECONDS:
            latencies_us.append((time.perf_counter_ns() - sent) / 1000)
        if status != 201:
            raise ServerFailed(f"{status} {body}")
        number += 1
    latencies_us.sort()
    pipe.send({
        "p50_us": latencies_us[len(latencies_us) // 2],
        "p99_us": latencies_us[len(latencies_us) * 99 // 100],
        "writes": len(latencies_us),
    })


# The bad clients. Each function is a kind: it begins, says that it has, and goes on until it is ended.


def idle(port, begun):
    """10 000 connections that do nothing, every other one after a request"""
    connections = []
    for number in range(IDLE_CONNECTIONS):
        connection = connect(port, number)
        if number % 2 == 0:
            exchange(connection, request("GET", "/ready"))
        connections.append(connection)
    begun()
    time.sleep(3600)


def slow_readers(port, begun):
    """32 connections that ask 40 answers of a megabyte each and read 1 KiB of it 10 times a second"""
    query = json.dumps({"concept_path": "large/*", "limit": LARGE_CLAIMS}).encode()
    connections = [connect(port) for _ in range(32)]
    for connection in connections:
        connection.sendall(request("POST", "/v1/query", query) * 40)
        connection.recv(1)
    begun()
    for _ in pace(10):
        for connection in connections:
            connection.recv(1024)


def slow_writers(port, begun):
    """500 connections that send a claim byte by byte, 2000 bytes a second in all"""
    writers = []

    def begin():
        claim = json.dumps({"concept_path": "slow", "predicate": "is", "value": os.urandom(50).hex()}).encode()
        return connect(port), iter(request("POST", "/v1/assert", claim))

    writers = [begin() for _ in range(500)]
    begun()
    for turn in pace(2000):
        connection, rest = writers[turn % len(writers)]
        byte = next(rest, None)
        if byte is None:
            connection.close()
            writers[turn % len(writers)] = begin()
        else:
            connection.send(bytes([byte]))


def half_sent(port, begun):
    """200 connections a second that send half a request and close"""
    message = request("POST", "/v1/assert", b'{"concept_path":"half","predicate":"is","value":1}')
    begun()
    for _ in pace(200):
        with contextlib.closing(connect(port)) as connection:
            connection.sendall(message[: random.randrange(len(message))])


def resets(port, begun):
    """200 connections a second that are reset at any byte of a request"""
    message = request("POST", "/v1/assert", b'{"concept_path":"reset","predicate":"is","value":1}')
    begun()
    for _ in pace(200):
        with contextlib.closing(connect(port)) as connection:
            connection.sendall(message[: random.randrange(len(message))])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def garbage(port, begun):
    """200 connections a second that send a right request and noise behind it"""
    begun()
    for _ in pace(200):
        with contextlib.closing(connect(port)) as connection:
            connection.sendall(request("GET", "/ready") + os.urandom(200) + b"\r\n\r\n")
            expect_status(connection, 200)
            expect_status(connection, 400)


def malformed(port, begun):
    """500 requests a second whose bodies are no claims"""
    bodies = [b"{", b'{"concept_path":NaN}', b'"\xff"', b'{"value":1}', b"[1,2", b'{"concept_path":1,"predicate":2}']
    connection = connect(port)
    begun()
    for turn in pace(500):
        connection.sendall(request("POST", "/v1/assert", bodies[turn % len(bodies)]))
        expect_status(connection, 400)


def depth_bombs(port, begun):
    """10 requests a second with a megabyte of opening brackets each"""
    message = request("POST", "/v1/assert", b"[" * (1 << 20))
    connection = connect(port)
    begun()
    for _ in pace(10):
        connection.sendall(message)
        expect_status(connection, 400)


def oversized(port, begun):
    """20 requests a second of four megabytes each"""
    message = request("POST", "/v1/assert", b" " * (4 << 20))
    begun()
    for _ in pace(20):
        with contextlib.closing(connect(port)) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(message)
            expect_status(connection, 413)


def wrong_signatures(port, begun):
    """50 claims a second with 16 signatures each, none of them right"""
    # Of a real key and a point of the curve, so that the arithmetic is done to its end.
    key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    claim = {"concept_path": "signed", "predicate": "is", "value": 1, "timestamp": 1}
    claim["signatures"] = [{"agent_id": key, "signature": signature, "timestamp": 1}] * 16
    message = request("POST", "/v1/assert", json.dumps(claim).encode())
    connection = connect(port)
    begun()
    for _ in pace(50):
        connection.sendall(message)
        expect_status(connection, 400)


KINDS = {kind.__name__: kind for kind in (
    idle, slow_readers, slow_writers, half_sent, resets, garbage, malformed, depth_bombs, oversized, wrong_signatures,
)}


@contextlib.contextmanager
def bad_clients(kind, port):
    """Runs bad clients of a kind in a process of their own; yields when they have begun, ends them at the end."""
    begun = multiprocessing.Event()
    process = multiprocessing.Process(target=behave_badly, args=(kind, port, begun), daemon=True)
    process.start()
    try:
        while not begun.wait(0.1):
            if not process.is_alive():
                raise ServerFailed(f"{kind}: the bad clients have failed, see above")
        yield
        if not process.is_alive():
            raise ServerFailed(f"{kind}: the bad clients have failed, see above")
    finally:
        process.kill()
        process.join()


def behave_badly(kind, port, begun):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.sched_setaffinity(0, {LOAD_CPU})
    KINDS[kind](port, begun.set)


def pace(times_a_second):
    """Counts, so many times a second; what was missed is not made up for."""
    turn, due = 0, time.monotonic()
    while True:
        yield turn
        turn += 1
        due = max(due + 1 / times_a_second, time.monotonic() - 0.01)
        time.sleep(max(0, due - time.monotonic()))


# HTTP.


def request(method, target, body=b""):
    return f"{method} {target} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def connect(port, number=0):
    """A connection; `number` spreads many of them over addresses of the loopback network, each with its own ports."""
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if number:
        connection.bind((f"127.0.1.{1 + number // CONNECTIONS_AN_ADDRESS}", 0))
    connection.connect(("127.0.0.1", port))
    return connection


def exchange(connection, message):
    """Sends a request and reads the answer: its status and its body."""
    connection.sendall(message)
    return read_answer(connection)


def read_answer(connection):
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += receive(connection)
    head = received[:end].lower()
    at = head.index(b"content-length: ") + len(b"content-length: ")
    length = int(head[at:].split(b"\r\n", 1)[0])
    while len(received) < end + 4 + length:
        received += receive(connection)
    return int(head.split(b" ", 2)[1]), bytes(received[end + 4:])


def receive(connection):
    piece = connection.recv(1 << 16)
    if not piece:
        raise ConnectionAbortedError("the server closed the connection")
    return piece


def expect_status(connection, status):
    """Reads one answer, byte by byte up to the end of its head, so that the next one is left alone."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionAbortedError("the server closed the connection")
        head += byte
    lowered = head.lower()
    at = lowered.index(b"content-length: ") + len(b"content-length: ")
    left = int(lowered[at:].split(b"\r\n", 1)[0])
    while left > 0:
        left -= len(connection.recv(left))
    if int(head.split(b" ", 2)[1]) != status:
        raise ServerFailed(f"expected {status}: {bytes(head)}")


def store_large_claims(port):
    """What the slow readers ask for."""
    lines = "".join(
        json.dumps({"concept_path": f"large/{n}", "predicate": "is", "value": "x" * LARGE_VALUE_BYTES}) + "\n"
        for n in range(LARGE_CLAIMS)
    )
    with contextlib.closing(connect(port)) as connection:
        status, body = exchange(connection, request("POST", "/v1/assert/batch", lines.encode()))
    if status != 200 or json.loads(body)["accepted"] != LARGE_CLAIMS:
        raise ServerFailed(f"{status} {body}")


def raise_descriptor_limit(wanted):
    """For this process, the bad clients and the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, PermissionError):
        sys.exit(f"{wanted} open files are needed, {hard} are allowed: raise ulimit -n")


if __name__ == "__main__":
    main()

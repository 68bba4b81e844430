"""What many slow clients cost the others: the p99 of 64 well-behaved connections with 10 000 idle and 1 000 slow ones present,
divided by their p99 alone.

  cargo build --release -p stemedb-net -p stemedb-bench
  python3 bench/slow_clients.py

The server has one core, pinned to CPU 0. The well-behaved clients, on CPU 1, are the load generator's: 64 connections that
together store so many claims a second, each durable before its connection sends the next, and then ask as many point
queries a second; a latency counts from the moment a request was due. The slow clients are on CPU 1 too. Where the system
permits it the core and the well-behaved clients have real-time priority, so that they wait for each other and not for
the slow ones or for what else the machine does. The disk knows no priority: on a machine where others write, look at the
queries.

Of the slow connections 400 send heads and 400 send bodies, byte by byte, 4 000 bytes a second in all, and begin anew when
they are cut off; 200 have asked for four answers of a megabyte each and read a kibibyte of them now and then, which leaves most of what
a connection may have unread with the server: how much that is stands below the table. Of the idle ones every other one has asked something before. Heads and bodies are cut off by
the hundred, every ten seconds or so; a measurement is long enough to have that in it.

Each round measures both, in an order that is drawn. A ratio is that of the medians over the rounds; beside it stands the
range of the ratios within rounds.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile

import interference
import measured
from interference import connect, exchange, pace, request
from measured import LOAD_CPU, REPOSITORY, ServerFailed

IDLE = 10_000
SLOW_HEADS = 400
SLOW_BODIES = 400
SLOW_READERS = 200
ANSWERS_A_READER = 4
BYTES_A_SECOND = 4_000
READS_A_SECOND = 1_000
GOOD_CONNECTIONS = 64
RATIO_MAX = 1.5
WITHOUT, WITH = "alone", "with the slow ones"
KINDS = ("assert", "query")


def main():
    options = parse_arguments()
    measured.begin(options.server, options.generator)
    interference.raise_descriptor_limit(IDLE + SLOW_HEADS + SLOW_BODIES + SLOW_READERS + 1000)
    rounds, held_bytes = [], []
    with tempfile.TemporaryDirectory(dir=options.dir) as directory, measured.stemedb(options.server, directory) as server:
        is_preferred = prefer(server.process_id, "core-")
        interference.store_large_claims(server.port)
        # The first segments of a fresh log are not what is measured.
        measure(server.port, "assert", options)
        for number in range(1, options.rounds + 1):
            print(f"round {number} of {options.rounds}", file=sys.stderr)
            rounds.append(measure_round(server, options, held_bytes))
    report(rounds, held_bytes, options, is_preferred)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=12.0, help="for each measurement (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=5_000, help="requests a second of the well-behaved clients")
    parser.add_argument("--dir", default="/var/tmp", help="where the data goes while it is measured; a real disk (default: %(default)s)")
    release = os.path.join(REPOSITORY, "target", "release")
    parser.add_argument("--server", default=os.path.join(release, "stemedb-api"))
    parser.add_argument("--generator", default=os.path.join(release, "stemedb-bench"))
    parser.add_argument("--json", help="also write the figures to this file")
    return parser.parse_args()


def prefer(process_id, threads=""):
    """Gives those threads of a process whose names begin so real-time priority. False if the system does not permit it."""
    try:
        for thread in os.listdir(f"/proc/{process_id}/task"):
            with open(f"/proc/{process_id}/task/{thread}/comm", encoding="utf-8") as name:
                if name.read().startswith(threads):
                    os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    return True


def measure_round(server, options, held_bytes):
    port = server.port
    measured = {}
    for company in random.sample([WITHOUT, WITH], 2):
        with contextlib.ExitStack() as present:
            if company == WITH:
                before = anonymous_bytes(server.process_id)
                present.enter_context(slow_clients(port))
                held_bytes.append(anonymous_bytes(server.process_id) - before)
            measured[company] = {kind: measure(port, kind, options) for kind in KINDS}
    with contextlib.closing(connect(port)) as connection:
        status, health = exchange(connection, request("GET", "/v1/health"))
    if status != 200 or json.loads(health)["status"] != "healthy":
        raise ServerFailed(f"{status} {health}")
    return measured


def anonymous_bytes(process_id):
    """Memory of a process that no file stands behind."""
    with open(f"/proc/{process_id}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))


def measure(port, kind, options):
    """The latencies of the well-behaved clients with requests of this kind, in microseconds."""
    command = [
        options.generator, "run", "--address", f"127.0.0.1:{port}", "--connections", str(GOOD_CONNECTIONS),
        "--mix", f"{kind}=1", "--rate", str(options.rate), "--duration-s", str(options.seconds), "--cpu", str(LOAD_CPU), "--json",
    ]
    # Its threads inherit the priority.
    result = subprocess.run(command, stdout=subprocess.PIPE, check=False, preexec_fn=lambda: prefer(os.getpid()))
    if result.returncode != 0:
        raise ServerFailed(f"{' '.join(command)} ended with {result.returncode}")
    run = json.loads(result.stdout)["runs"][0]["all"]
    if run["unanswered"] > 0:
        print(f"warning: {run['unanswered']} requests had no answer at the end", file=sys.stderr)
    return run["operations"][kind]["latency_us"]


def report(rounds, held_bytes, options, is_preferred):
    print(f"{GOOD_CONNECTIONS} connections, {options.rate} requests a second, medians of {len(rounds)} rounds of {options.seconds:g} s")
    if not is_preferred:
        print("without real-time priority: the figures are those of a busy machine")
    print(f"{'':7} {'':19} {'p50 µs':>8} {'p99 µs':>8} {'range of p99':>16} {'ratio of p99':>13} {'in rounds':>12}")
    worst = 0
    for kind in KINDS:
        p99 = {company: [measured[company][kind]["p99"] for measured in rounds] for company in (WITHOUT, WITH)}
        ratio = statistics.median(p99[WITH]) / statistics.median(p99[WITHOUT])
        ratios = [there / alone for there, alone in zip(p99[WITH], p99[WITHOUT])]
        worst = max(worst, ratio)
        for company in (WITHOUT, WITH):
            p50 = statistics.median(measured[company][kind]["p50"] for measured in rounds)
            span = f"{min(p99[company]):.0f}–{max(p99[company]):.0f}"
            line = f"{kind:7} {company:19} {p50:8.0f} {statistics.median(p99[company]):8.0f} {span:>16}"
            if company == WITH:
                line += f" {ratio:13.2f} {min(ratios):6.2f}–{max(ratios):.2f}"
            print(line)
    print(f"bound: {RATIO_MAX}; memory of the server beyond that before, once the slow ones are there: at most {max(held_bytes) >> 20} MiB")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rounds, file, indent=2)
    sys.exit(1 if worst > RATIO_MAX else 0)


# The slow clients.


@contextlib.contextmanager
def slow_clients(port):
    """Runs them in a process of their own; yields when all are there, ends them at the end."""
    begun = multiprocessing.Event()
    process = multiprocessing.Process(target=be_slow, args=(port, begun.set), daemon=True)
    process.start()
    try:
        while not begun.wait(0.1):
            if not process.is_alive():
                raise ServerFailed("the slow clients have failed, see above")
        yield
        if not process.is_alive():
            raise ServerFailed("the slow clients have failed, see above")
    finally:
        process.kill()
        process.join()


def be_slow(port, begun):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.sched_setaffinity(0, {LOAD_CPU})
    idle = []
    for number in range(1, IDLE + 1):
        connection = connect(port, number)
        if number % 2 == 0:
            exchange(connection, request("GET", "/ready"))
        idle.append(connection)
    question = json.dumps({"concept_path": "large/*", "limit": interference.LARGE_CLAIMS}).encode()
    readers = [connect_narrow(port) for _ in range(SLOW_READERS)]
    for reader in readers:
        reader.sendall(request("POST", "/v1/query", question) * ANSWERS_A_READER)
        reader.recv(1)
    head = b"GET /ready HTTP/1.1\r\nHost: slow\r\nX-Slow: " + b"s" * 4_000
    body = b"POST /v1/assert HTTP/1.1\r\nHost: slow\r\nContent-Length: 100000\r\n\r\n" + b" " * 4_000
    writers = [SlowWriter(port, message) for message in [head] * SLOW_HEADS + [body] * SLOW_BODIES]
    begun()
    reads = READS_A_SECOND / BYTES_A_SECOND
    for turn in pace(BYTES_A_SECOND):
        writers[turn % len(writers)].send_byte()
        if int((turn + 1) * reads) > int(turn * reads):
            with contextlib.suppress(BlockingIOError, ConnectionError):
                readers[int(turn * reads) % len(readers)].recv(1024, socket.MSG_DONTWAIT)


def connect_narrow(port):
    """A connection whose kernel takes next to nothing before its owner does, so that the server keeps the answer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    return connection


class SlowWriter:
    """Sends a message byte by byte, over a new connection when the server has had enough."""

    def __init__(self, port, message):
        self.port, self.message = port, message
        self.begin()

    def begin(self):
        self.connection, self.sent = connect(self.port), 0

    def send_byte(self):
        try:
            self.connection.send(self.message[self.sent:self.sent + 1])
            self.sent = (self.sent + 1) % len(self.message)
        except ConnectionError:
            self.connection.close()
            self.begin()


if __name__ == "__main__":
    main()

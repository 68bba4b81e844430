"""How long an answer takes whose value is read from disk, and how long one takes whose value is in memory.

  cargo build --release --bin stemedb-api
  python3 bench/values.py

A server is filled with claims of long values, and with as many short ones, and started anew, so that tables have all long values
and memory has none. Then single claims of either kind are asked for, at random, one connection at a time and several. Tables are read past the
page cache: each long value is a read of the disk. Latencies are those of a client in Python, which itself needs some of them; the two kinds
are measured in turns, and their difference is the server's and the disk's.
"""

import argparse
import http.client
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time

import measured
from measured import REPOSITORY, ServerFailed

RELEASE = os.path.join(REPOSITORY, "target", "release")

BATCH_BYTES = 512 << 10
SHORT_BYTES = 64
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def main():
    options = parse_arguments()
    busy = measured.begin(options.server, cpus_min=1)
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        fill(options, directory)
        figures = measure(options, directory)
    figures["load_average"] = busy
    report(figures, options)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=int, default=10_000, help="of each kind (default: %(default)s)")
    parser.add_argument("--value-bytes", type=int, default=16 << 10)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each kind, number of connections and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", default="/var/tmp", help="where the data goes; a real disk (default: %(default)s)")
    parser.add_argument("--server", default=os.path.join(RELEASE, "stemedb-api"))
    parser.add_argument("--json", help="also write the figures to this file")
    return parser.parse_args()


def serving(options, directory, port):
    """Runs a server with a core for each CPU until the end of the block."""
    environment = {
        **os.environ,
        "STEMEDB_BIND_ADDR": f"127.0.0.1:{port}",
        "STEMEDB_WAL_DIR": os.path.join(directory, "wal"),
        "STEMEDB_DB_DIR": os.path.join(directory, "db"),
        # So that hardly any value is only in the log.
        "STEMEDB_SEGMENT_BYTES": "2MiB",
        "STEMEDB_CHECKPOINT_BYTES": "16MiB",
    }
    log_path = os.path.join(directory, "log")
    ready = lambda: "Startup complete" in measured.read(log_path)
    return measured.started([options.server], environment, log_path, ready, os.sched_getaffinity(0))


def fill(options, directory):
    port = measured.free_port()
    text = random.Random(1)
    with serving(options, directory, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for kind, value_bytes in (("long", options.value_bytes), ("short", SHORT_BYTES)):
            batch = max(1, BATCH_BYTES // value_bytes)
            for first in range(0, options.claims, batch):
                body = "".join(
                    json.dumps({"subject": f"{kind}/{number}", "predicate": "is", "object": "".join(text.choices(LETTERS, k=value_bytes))})
                    + "\n"
                    for number in range(first, min(options.claims, first + batch))
                )
                status, answer = ask(connection, "POST", "/v1/assert/batch", body)
                if status != 200:
                    raise ServerFailed(f"{status} to a batch: {answer[:500]}")
        wait_for_tables(connection, options)


def wait_for_tables(connection, options):
    """Until tables have the long values but for those of the segments that are being written."""
    deadline = time.monotonic() + 120
    in_memory_max = os.cpu_count() * (2 << 20) / options.value_bytes
    while metric(connection, 'stemedb_values_long{place="memory"}') > in_memory_max:
        if time.monotonic() > deadline:
            raise ServerFailed("tables do not get the values")
        time.sleep(0.1)


def ask(connection, method, target, body=None):
    connection.request(method, target, body)
    response = connection.getresponse()
    return response.status, response.read()


def metric(connection, name):
    text = ask(connection, "GET", "/metrics")[1].decode()
    return next(float(line[len(name) + 1 :]) for line in text.splitlines() if line.startswith(name + " "))


def measure(options, directory):
    port = measured.free_port()
    figures = {"claims": options.claims, "value_bytes": options.value_bytes, "runs": []}
    with serving(options, directory, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        figures["in_tables"] = metric(connection, 'stemedb_values_long{place="table"}')
        for number in range(options.rounds):
            for connections in options.connections:
                for kind in ("long", "short"):
                    latencies = load(options, port, kind, connections, seed=number)
                    figures["runs"].append({"kind": kind, "connections": connections, **summary(latencies, options.seconds)})
        errors = metric(connection, "stemedb_value_read_errors_total")
        if errors:
            raise ServerFailed(f"{errors:.0f} values could not be read")
    return figures


def load(options, port, kind, connections, seed):
    """How long each answer took, in seconds, of clients that ask one question after the other."""
    latencies, failures = [], []

    def client(number):
        choice = random.Random(f"{seed} {number}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        own = []
        deadline = time.perf_counter() + options.seconds
        while time.perf_counter() < deadline:
            target = f"/v1/query?concept_path={kind}/{choice.randrange(options.claims)}"
            began = time.perf_counter()
            status, answer = ask(connection, "GET", target)
            own.append(time.perf_counter() - began)
            if status != 200 or len(answer) < SHORT_BYTES:
                failures.append((status, answer[:500]))
                return
        latencies.extend(own)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(connections)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    if failures:
        raise ServerFailed(f"not the claim that was asked for: {failures[0]}")
    return latencies


def summary(latencies, seconds):
    latencies = sorted(latencies)
    at = lambda share: latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1e6
    return {"p50_us": at(0.5), "p99_us": at(0.99), "rate": len(latencies) / seconds}


def report(figures, options):
    print(
        f"{figures['claims']} claims with values of {figures['value_bytes']} bytes, {figures['in_tables']:.0f} of them only in tables, and as many"
        f" of {SHORT_BYTES}; load average {figures['load_average']:.1f} when it began; medians of {options.rounds} rounds"
    )
    for connections in options.connections:
        for kind, what in (("long", "read from disk"), ("short", "in memory")):
            runs = [run for run in figures["runs"] if (run["kind"], run["connections"]) == (kind, connections)]
            median = lambda name: statistics.median(run[name] for run in runs)
            print(
                f"{connections} connections, values {what}: p50 {median('p50_us'):.0f} µs, p99 {median('p99_us'):.0f} µs,"
                f" {median('rate'):.0f} answers a second"
            )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    sys.exit(main())

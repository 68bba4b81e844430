"""How long a start takes: from an index snapshot, and without one. And what taking a snapshot costs, on disk and those who write meanwhile.

  cargo build --release --bin stemedb-api --bin stemedb-bench
  python3 bench/start.py

A server is filled with claims and left alone until their tables are merged and a snapshot is taken. Then it is started over and
over, in turns with its snapshot and with `data/db/indexes` moved aside, and timed from the process' start until `/ready` says 200, by the clock and
by the CPU that the process has taken. Starts find snapshot and tables on the disk and not in the page cache, which neither goes through or stays in.

To see that it works: --claims 200000 --rounds 1. With --fields 1 almost every claim has a subject of its own, which is the hardest a start can get.

A start without a snapshot is followed by a snapshot of everything. Load of 64 connections that store single claims is measured
while that is taken, and again, as long, when it is done.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import measured
from measured import REPOSITORY, ServerFailed

RELEASE = os.path.join(REPOSITORY, "target", "release")

START_SECONDS_MAX = 600
SETTLE_SECONDS_MAX = 900
READY_TARGET_SECONDS = 5.0
# Fewer do not fill the log segments that a snapshot begins with.
CLAIMS_MIN = 100_000
FEW_CLAIMS = 3_000_000
# Claims come in steps of this many: a prime, so that all of them come, and in no order.
STRIDE = 982_451_653
BATCH_CLAIMS = 5_000
FILLERS = 4
CONNECTIONS = 64
RATE = 5_000
LOAD_SECONDS = 4


def main():
    options = parse_arguments()
    busy = measured.begin(options.server, options.bench, cpus_min=1)
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        host = Host(options, directory)
        if options.claims < FEW_CLAIMS:
            # Few claims have to come into tables, too.
            host.sizes = {"STEMEDB_SEGMENT_BYTES": "4MiB", "STEMEDB_CHECKPOINT_BYTES": "8MiB"}
        fill(host, options.claims)
        figures = measure(host, options)
    figures["load_average"] = busy
    report(figures, options)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=int, default=10_000_000)
    parser.add_argument("--fields", type=int, default=16, help="claims about each subject (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", default="/var/tmp", help="where the data goes while it is measured; a real disk (default: %(default)s)")
    parser.add_argument("--server", default=os.path.join(RELEASE, "stemedb-api"))
    parser.add_argument("--bench", default=os.path.join(RELEASE, "stemedb-bench"))
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    if options.claims % STRIDE == 0 or options.claims < CLAIMS_MIN or options.fields < 1:
        parser.error(f"at least {CLAIMS_MIN} claims are needed, no multiple of {STRIDE} of them, and a field")
    return options


class Host:
    """A data directory, and the servers that are started on it."""

    cpus = frozenset(os.sched_getaffinity(0))

    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.indexes = os.path.join(directory, "db", "indexes")
        self.aside = os.path.join(directory, "aside")
        self.log_path = os.path.join(directory, "log")
        self.loads = 0
        self.port = measured.free_port()
        self.sizes = {}

    def environment(self):
        """What a server of these data is started with."""
        return {
            **os.environ,
            "STEMEDB_BIND_ADDR": f"127.0.0.1:{self.port}",
            "STEMEDB_WAL_DIR": os.path.join(self.directory, "wal"),
            "STEMEDB_DB_DIR": os.path.join(self.directory, "db"),
            "STEMEDB_CORES": str(self.options.cores),
        }

    @contextlib.contextmanager
    def serving(self):
        """Runs a server until the end of the block. Gives how many seconds its start took, and how many of CPU."""
        began = time.perf_counter()
        with measured.started(
            [self.options.server], {**self.environment(), **self.sizes}, self.log_path, self.is_ready, self.cpus, START_SECONDS_MAX
        ) as process_id:
            yield time.perf_counter() - began, measured.cpu_seconds(process_id)

    def log(self):
        return measured.read(self.log_path)

    def is_ready(self):
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def get(self, path):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def metric(self, name):
        found = re.search(rf"^{name} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        if not found:
            raise ServerFailed(f"the server has no metric {name}: is it of the same version as this program?")
        return float(found.group(1))

    def count(self):
        return json.loads(self.get("/v1/health")[1])["assertion_count"]

    def wait_until(self, what, is_so):
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while not is_so():
            if time.monotonic() > deadline:
                raise ServerFailed(f"not within {SETTLE_SECONDS_MAX} s: {what}\n{self.log()[-2000:]}")
            time.sleep(0.1)


def fill(host, claims):
    """Stores claims, and waits until a snapshot of most of them is there and nothing goes on any more."""
    with host.serving():
        began = time.perf_counter()
        numbers = iter(range(0, claims, BATCH_CLAIMS))
        lock, failures = threading.Lock(), []

        def store():
            connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=120)
            while not failures:
                with lock:
                    first = next(numbers, None)
                if first is None:
                    return
                numbered = (number * STRIDE % claims for number in range(first, min(claims, first + BATCH_CLAIMS)))
                body = "".join(claim(number, host.options.fields) for number in numbered)
                connection.request("POST", "/v1/assert/batch", body)
                response = connection.getresponse()
                answer = response.read()
                if response.status != 200:
                    failures.append((response.status, answer))

        threads = [threading.Thread(target=store) for _ in range(FILLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures or host.count() != claims:
            raise ServerFailed(f"{host.count()} of {claims} claims were stored: {failures[:1]}")
        print(f"{claims} claims stored in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        settle(host)


def claim(number, fields):
    """About 200 bytes in the log: packages with some fields each."""
    return (
        f'{{"subject":"debian/package/lib{number // fields:08}-dev","predicate":"field-{number % fields}",'
        f'"object":"{number:010} (>= 2:1.18.4-3+deb12u1) | libexample{number}-dev (<< 3.0)",'
        f'"source":"source/debian/bookworm-{number % 3}","timestamp":1700000000}}\n'
    )


def settle(host):
    """Waits until upkeep has done what there was to do, the snapshot included, and for some seconds nothing else."""
    seen = {"at": time.monotonic(), "figures": None}
    names = ["stemedb_checkpoints_total", "stemedb_table_merges_total", "stemedb_index_snapshots_total"]

    def is_quiet():
        figures = [host.metric(name) for name in names]
        if figures != seen["figures"]:
            seen.update(at=time.monotonic(), figures=figures)
        return time.monotonic() - seen["at"] > 8

    host.wait_until("a snapshot is taken", lambda: host.metric("stemedb_index_snapshots_total") >= 1)
    host.wait_until("nothing goes on", is_quiet)


def measure(host, options):
    figures = {"claims": options.claims, "fields": options.fields, "cores": options.cores}
    names = ["with_s", "with_cpu_s", "restored", "without_s", "without_cpu_s", "rebuild_s", "snapshot_s", "snapshot_bytes", "during", "after"]
    figures.update((name, []) for name in names)
    for number in range(1, options.rounds + 1):
        print(f"round {number} of {options.rounds}", file=sys.stderr)
        with host.serving() as (seconds, cpu_seconds):
            check(host, options, "Restored")
            figures["with_s"].append(seconds)
            figures["with_cpu_s"].append(cpu_seconds)
            print(f"with a snapshot: ready after {seconds:.2f} s, {cpu_seconds:.2f} s of CPU", file=sys.stderr)
            figures["restored"].append(host.metric("stemedb_index_snapshot_restored_assertions"))
        shutil.rmtree(host.aside, ignore_errors=True)
        os.rename(host.indexes, host.aside)
        with host.serving() as (seconds, cpu_seconds):
            check(host, options, "Index rebuild complete in")
            figures["without_s"].append(seconds)
            figures["without_cpu_s"].append(cpu_seconds)
            print(f"without: ready after {seconds:.2f} s, {cpu_seconds:.2f} s of CPU", file=sys.stderr)
            found = re.search(r"Index rebuild complete in ([0-9.]+)s", host.log())
            figures["rebuild_s"].append(float(found.group(1)))
            measure_load(host, options, figures)
        # The load has made the log longer, and the next rounds start from what is there now.
    return figures


def check(host, options, line):
    """Whether the start was of the kind that is measured, and nothing is missing."""
    if host.count() < options.claims or line not in host.log():
        raise ServerFailed(f"{host.count()} claims, {line!r} expected:\n{host.log()[-3000:]}")


def measure_load(host, options, figures):
    """What clients see while a snapshot of everything is taken, which a start without one is followed by; and afterwards."""
    during = load(host, options, LOAD_SECONDS)
    if "Index snapshot" in host.log() and "taken" in host.log():
        print("the snapshot was taken before the load had ended: part of it was measured without", file=sys.stderr)
    settle(host)
    figures["during"].append(during)
    figures["after"].append(load(host, options, LOAD_SECONDS))
    figures["snapshot_s"].append(host.metric("stemedb_index_snapshot_duration_seconds"))
    figures["snapshot_bytes"].append(host.metric("stemedb_index_snapshot_bytes") / host.count())


def load(host, options, seconds):
    """Latencies of single claims at a moderate rate, in microseconds, from when each was due."""
    host.loads += 1
    done = subprocess.run(
        [options.bench, "run", "--address", f"127.0.0.1:{host.port}", "--connections", str(CONNECTIONS), "--rate", str(RATE),
         "--duration-s", str(seconds), "--warm-up-s", "0.2", "--seed", str(host.loads), "--json"],
        check=True, stdout=subprocess.PIPE,
    )
    measured = json.loads(done.stdout)["runs"][0]["all"]["operations"]["assert"]
    return {name: measured["latency_us"][name] for name in ("p50", "p99", "p999")}


def report(figures, options):
    median = lambda name: statistics.median(figures[name])
    claims, cores = figures["claims"], figures["cores"]
    print(f"{claims} claims, {figures['fields']} about each subject, {cores} cores; medians of {options.rounds} rounds")
    print(f"load average when it began: {figures['load_average']:.1f}")
    print(
        f"start to ready with a snapshot:    {median('with_s'):.2f} s (target {READY_TARGET_SECONDS:g} s), "
        f"{median('with_cpu_s'):.2f} s of CPU, {median('restored'):.0f} claims from it"
    )
    by_clock, by_cpu = claims / median("rebuild_s") / cores, claims / median("without_cpu_s")
    print(
        f"start to ready without a snapshot: {median('without_s'):.2f} s, {median('without_cpu_s'):.2f} s of CPU; a core rebuilds "
        f"{by_clock / 1e6:.2f} million claims a second by the clock, {by_cpu / 1e6:.2f} million by the CPU of the whole start (target 1)"
    )
    print(f"a snapshot: {median('snapshot_bytes'):.0f} bytes a claim, taken in {median('snapshot_s'):.1f} s under load")
    for name, when in (("during", "while it is taken"), ("after", "afterwards")):
        latency = {key: statistics.median(row[key] for row in figures[name]) for key in ("p50", "p99", "p999")}
        print(f"{RATE} claims a second {when}: p50 {latency['p50']:.0f} µs, p99 {latency['p99']:.0f} µs, p99.9 {latency['p999']:.0f} µs")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)
    sys.exit(0 if statistics.median(figures["with_s"]) <= READY_TARGET_SECONDS else 1)


if __name__ == "__main__":
    main()

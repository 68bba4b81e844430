"""Backups, restores and the archive: how fast they are, what they cost those who write meanwhile, and what they bring back.

  cargo build --release --bin stemedb-api --bin stemedb-admin --bin stemedb-bench
  python3 bench/backup.py

  rate      full backups of a running server, in turns with the disk's own sequential writes: bytes a second of each
  ingest    latencies of single claims at a fixed rate, in turns while backups are taken one after the other and while none is
  restore   the newest of those backups into an empty directory, and the start of a server on it
  moments   clients write while the log is archived and backed up; then the data is restored to moments drawn by lot. What each client
            was told by the moment must be there, and nothing that it had not begun
  loss      clients write, the log is archived at its interval, and at a moment drawn by lot server and data are gone. Restored from backup and
            archive, the oldest claim that was acknowledged and is lost says for how long before the end everything is lost

The figures of `moments` and `loss` are of a server of their own with small segments, so that the log goes into tables all the time. A broken promise
ends the program with status 1, and so does a target that is missed.
"""

import argparse
import contextlib
import http.client
import json
import mmap
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import measured
import start
from measured import REPOSITORY, ServerFailed

RELEASE = os.path.join(REPOSITORY, "target", "release")

PARTS = ["rate", "ingest", "restore", "moments", "loss"]
VALUE_BYTES = 1_000
BATCH_CLAIMS = 1_000
WRITE_BYTES = 1 << 20
RATE_TARGET = 0.5
P99_TARGET = 2.0
RESTORE_TARGET_SECONDS = 300
LOSS_TARGET_SECONDS = 300
CLIENTS = 4
MOMENTS_BACKUPS = 3
CONNECTIONS = 64
# Where backups go that are taken beside clients.
BESIDE = "beside"
SMALL_SEGMENT = "2MiB"
SMALL_SEGMENTS_LOG = "8GiB"


def main():
    options = parse_arguments()
    figures = {"load_average": measured.begin(options.server, options.bench, options.admin, cpus_min=1)}
    parts = options.only or PARTS
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        if {"rate", "ingest", "restore"} & set(parts):
            measure_large(Place(options, os.path.join(directory, "large")), parts, figures)
            shutil.rmtree(os.path.join(directory, "large"))
        os.environ["STEMEDB_SEGMENT_BYTES"] = SMALL_SEGMENT
        # Otherwise 64 of these, of which half may wait for the archive: some seconds' worth.
        os.environ["STEMEDB_WAL_BYTES_MAX"] = SMALL_SEGMENTS_LOG
        if "moments" in parts:
            measure_moments(Place(options, os.path.join(directory, "moments")), figures)
        if "loss" in parts:
            figures["loss"] = [
                measure_loss(Place(options, os.path.join(directory, f"loss-{number}"))) for number in range(options.losses)
            ]
    report(figures, options)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    parser.add_argument("--bytes", type=int, default=2_000_000_000, help="of claims to back up and restore (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of rate and ingest (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=5_000, help="claims a second of ingest (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each measurement of ingest (default: %(default)s)")
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--moments-seconds", type=float, default=120.0, help="in which they are drawn (default: %(default)s)")
    parser.add_argument("--losses", type=int, default=3, help="how often the machine is lost (default: %(default)s)")
    parser.add_argument("--interval-seconds", type=float, default=60.0, help="between two runs of the archive, as its timer has it (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20261121, help="what is drawn by lot (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--dir", default="/var/tmp", help="where the data goes while it is measured; a real disk (default: %(default)s)")
    for name in ("server", "bench", "admin"):
        program = "stemedb-api" if name == "server" else f"stemedb-{name}"
        parser.add_argument(f"--{name}", default=os.path.join(RELEASE, program))
    parser.add_argument("--json", help="also write the figures to this file")
    return parser.parse_args()


class Place(start.Host):
    """A data directory with its backups and its archive, and the servers that are started on it."""

    # Of whatever puts load on them.
    load_arguments = ()

    def __init__(self, options, directory):
        os.makedirs(directory, exist_ok=True)
        data = os.path.join(directory, "data")
        os.makedirs(data, exist_ok=True)
        super().__init__(options, data)
        self.home = directory
        self.backups = os.path.join(directory, "backups")
        self.archive = os.path.join(directory, "archive")
        self.log_path = os.path.join(directory, "log")
        self.running = None

    @contextlib.contextmanager
    def serving(self):
        """Runs a server until the end of the block, and gives the id of its process."""
        with measured.started(
            [self.options.server], self.environment(), self.log_path, self.is_ready, self.cpus, start.START_SECONDS_MAX
        ) as process_id:
            yield process_id

    def admin(self, *arguments):
        """Runs `stemedb-admin`, and gives what it printed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("BACKUP_", "MINIO_", "AWS_"))}
        self.running = subprocess.Popen(
            [self.options.admin, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        printed, told = self.running.communicate()
        if self.running.returncode != 0:
            raise ServerFailed(f"stemedb-admin {' '.join(arguments)}:\n{printed}{told}")
        return printed

    def back_up(self, to=None):
        return json.loads(self.admin("backup", "run", "--data-dir", self.directory, "--to", to or self.backups, "--json"))

    def archive_log(self):
        self.admin("archive", "run", "--data-dir", self.directory, "--store", self.archive)

    def restore(self, *arguments):
        self.admin("restore", "--data-dir", self.directory, "--from", self.backups, "--yes", *arguments)

    def forget(self):
        """The data is gone."""
        shutil.rmtree(self.directory)
        os.makedirs(self.directory)


# A large history.


def measure_large(place, parts, figures):
    with place.serving():
        figures["claims"] = fill(place, place.options.bytes)
        newest = os.path.join(place.home, "once")
        if "rate" in parts:
            figures["rate"] = [measure_rate(place, number) for number in range(1, place.options.rounds + 1)]
        if "ingest" in parts:
            figures["ingest"] = [measure_ingest(place, number) for number in range(1, place.options.rounds + 1)]
        if "restore" in parts:
            place.back_up(newest)
    if "restore" in parts:
        figures["restore"] = measure_restore(place, newest)


def fill(place, bytes_min):
    """Stores claims that hardly compress, until they are so many bytes; gives how many."""
    count = -(-bytes_min // VALUE_BYTES)
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=120)
    began = time.perf_counter()
    for first in range(0, count, BATCH_CLAIMS):
        numbers = range(first, min(count, first + BATCH_CLAIMS))
        lines = (
            f'{{"subject":"large/{number // 16:08}","predicate":"field-{number % 16}","object":"{os.urandom(VALUE_BYTES * 3 // 8).hex()}"}}\n'
            for number in numbers
        )
        connection.request("POST", "/v1/assert/batch", "".join(lines))
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise ServerFailed(f"{response.status} {answer}")
    print(f"{count} claims stored in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    settle(place)
    return count


def settle(place):
    """Waits until upkeep has been quiet for some seconds."""
    names = ["stemedb_checkpoints_total", "stemedb_table_merges_total", "stemedb_index_snapshots_total"]
    seen = {"at": time.monotonic(), "figures": None}

    def is_quiet():
        now = [place.metric(name) for name in names]
        if now != seen["figures"]:
            seen.update(at=time.monotonic(), figures=now)
        return time.monotonic() - seen["at"] > 8

    place.wait_until("nothing goes on", is_quiet)


def measure_rate(place, number):
    """Bytes a second of the disk, and of a full backup that shares nothing with another; which comes first alternates."""
    to = os.path.join(place.home, "once")
    row = {}
    for what in ("disk", "backup") if number % 2 else ("backup", "disk"):
        shutil.rmtree(to, ignore_errors=True)
        began = time.perf_counter()
        if what == "disk":
            os.makedirs(to)
            written = write_sequentially(os.path.join(to, "file"), min(place.options.bytes, 2_000_000_000))
        else:
            written = place.back_up(to)["copied_bytes"]
        row[what] = written / (time.perf_counter() - began)
    shutil.rmtree(to, ignore_errors=True)
    print(f"round {number}: the disk writes {row['disk'] / 1e6:.0f} MB/s, a backup {row['backup'] / 1e6:.0f} MB/s", file=sys.stderr)
    return row


def write_sequentially(path, bytes_min):
    """Writes past the page cache, and makes it durable at the end."""
    piece = mmap.mmap(-1, WRITE_BYTES)
    piece.write(os.urandom(WRITE_BYTES))
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o640)
    written = 0
    while written < bytes_min:
        written += os.write(file, piece)
    os.fdatasync(file)
    os.close(file)
    return written


def measure_ingest(place, number):
    """Latencies while backups are taken one after the other, and while none is."""
    row = {"backups": 0}
    for what in ("with", "without") if number % 2 else ("without", "with"):
        over = threading.Event()
        failures = []
        taking = threading.Thread(target=take_backups, args=(place, over, row, failures))
        if what == "with":
            taking.start()
            time.sleep(0.5)
        row[what] = load(place)
        over.set()
        if what == "with":
            taking.join()
            shutil.rmtree(os.path.join(place.home, BESIDE))
        if failures:
            raise failures[0]
    print(f"round {number}: p99 {row['with']['p99']:.0f} µs with a backup, {row['without']['p99']:.0f} without", file=sys.stderr)
    return row


def load(place):
    """Latencies of single claims at a fixed rate, in microseconds, from when each was due."""
    place.loads += 1
    done = subprocess.run(
        [place.options.bench, "run", "--address", f"127.0.0.1:{place.port}", "--connections", str(CONNECTIONS),
         "--rate", str(place.options.rate), "--duration-s", str(place.options.seconds), "--warm-up-s", "0.5",
         "--seed", str(place.loads), "--json", *place.load_arguments],
        check=True, stdout=subprocess.PIPE,
    )
    latency = json.loads(done.stdout)["runs"][0]["all"]["operations"]["assert"]["latency_us"]
    return {name: latency[name] for name in ("p50", "p99", "p999")}


def take_backups(place, over, row, failures):
    # All are kept meanwhile: giving back gigabytes at once would be measured, too.
    try:
        while not over.is_set():
            place.back_up(os.path.join(place.home, BESIDE, str(row["backups"])))
            row["backups"] += 1
    except Exception as failure:
        failures.append(failure)


def measure_restore(place, backups):
    """How long it takes to restore a backup where nothing is, and to start a server on it."""
    place.forget()
    place.backups = backups
    metadata = json.loads(place.admin("backup", "list", "--from", backups, "--json"))["backups"][0]
    began = time.perf_counter()
    place.restore()
    restored = time.perf_counter()
    with place.serving():
        ready = time.perf_counter()
        if place.count() != metadata["assertion_count"]:
            raise ServerFailed(f"{place.count()} claims instead of {metadata['assertion_count']}")
    return {"bytes": metadata["size_bytes"], "restore_s": restored - began, "start_s": ready - restored}


# Moments, and losses.


class Client:
    """Writes claims `moment/<name>` 0, 1, 2 and so on, one after the other, until it is told to end or the server is gone."""

    def __init__(self, place, name):
        self.place = place
        self.name = name
        self.acknowledged = 0
        self.times = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=30)
        while not self.over.is_set():
            body = json.dumps({"subject": f"moment/{self.name}", "predicate": "is", "object": self.acknowledged})
            try:
                connection.request("POST", "/v1/assert", body)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                return
            if response.status != 201:
                return
            self.times.append(time.time())
            self.acknowledged += 1

    def end(self):
        self.over.set()
        self.thread.join()


def numbers_of(place, name):
    """Which claims of a client the server has, in order."""
    found, cursor = [], None
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", place.port, timeout=60)) as connection:
        while True:
            query = {"concept_path": f"moment/{name}", "limit": 10_000, **({"cursor": cursor} if cursor else {})}
            connection.request("POST", "/v1/query", json.dumps(query))
            page = json.loads(connection.getresponse().read())
            found += [row["value"] for row in page["assertions"]]
            cursor = page.get("cursor")
            if not cursor:
                return sorted(found)


def prefix_of(place, name):
    """How many claims of a client the server has: they must be the first ones, without a gap."""
    found = numbers_of(place, name)
    if found != list(range(len(found))):
        raise ServerFailed(f"client {name} has gaps: {len(found)} claims up to {found[-1]}")
    return len(found)


def measure_moments(place, figures):
    options = place.options
    taken = []
    with place.serving():
        place.archive_log()
        place.back_up()
        clients = [Client(place, name) for name in range(CLIENTS)]
        began = time.monotonic()
        dues = sorted(random.uniform(0.5, options.moments_seconds) for _ in range(options.moments))
        jobs = Jobs(place, began, options.moments_seconds)
        for due in dues:
            time.sleep(max(0, began + due - time.monotonic()))
            before = [client.acknowledged for client in clients]
            moment = time.time()
            taken.append((moment, before, [client.acknowledged for client in clients]))
        for client in clients:
            client.end()
        jobs.end()
        place.archive_log()
        removed = place.metric("stemedb_wal_segments_removed_total")
    seconds = []
    for number, (moment, before, after) in enumerate(taken, 1):
        place.forget()
        began = time.perf_counter()
        place.restore("--store", place.archive, "--target-time", f"{moment:.6f}")
        seconds.append(time.perf_counter() - began)
        with place.serving():
            for client, (least, most) in enumerate(zip(before, after)):
                there = prefix_of(place, client)
                # One more may have been on its way.
                if not least <= there <= most + 1:
                    raise ServerFailed(f"moment {number}, client {client}: {there} claims, {least} to {most + 1} expected")
        print(f"moment {number} of {len(taken)}: {sum(before)} claims, as they were", file=sys.stderr)
    figures["moments"] = {
        "count": len(taken), "claims": sum(taken[-1][1]), "restore_s": seconds, "segments_removed": removed, "backups": 1 + jobs.backups,
    }


class Jobs:
    """Archives all the time, and takes backups now and then, while moments are drawn."""

    def __init__(self, place, began, seconds):
        self.place = place
        self.backups = 0
        self.failure = None
        self.over = threading.Event()
        self.dues = [began + seconds * number / (MOMENTS_BACKUPS + 1) for number in range(1, MOMENTS_BACKUPS + 1)]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.over.wait(1):
                self.place.archive_log()
                if self.dues and self.dues[0] <= time.monotonic():
                    self.dues.pop(0)
                    self.place.back_up()
                    self.backups += 1
        except Exception as failure:
            self.failure = failure

    def end(self):
        self.over.set()
        self.thread.join()
        if self.failure:
            raise self.failure


def measure_loss(place):
    """Seconds before the end from which on acknowledged claims are lost."""
    interval = place.options.interval_seconds
    over, failures = threading.Event(), []

    def archive():
        # As the timer: at its times, whether or not the run before took long.
        due = time.monotonic()
        while not over.is_set():
            with contextlib.suppress(Exception):
                place.archive_log()
            due = max(due + interval, time.monotonic())
            over.wait(due - time.monotonic())

    with place.serving() as process_id:
        place.archive_log()
        place.back_up()
        archiving = threading.Thread(target=archive)
        archiving.start()
        clients = [Client(place, name) for name in range(CLIENTS)]
        # In the third interval or so, anywhere in it.
        time.sleep(interval * random.uniform(2, 3))
        ended = time.time()
        os.kill(process_id, signal.SIGKILL)
        over.set()
        # A run that was under way is lost with the machine.
        place.running.kill()
        for client in clients:
            client.end()
        archiving.join()
        place.forget()
    place.restore("--store", place.archive, "--target-time", f"{ended:.6f}")
    lost, lost_claims = 0.0, 0
    with place.serving():
        for client in clients:
            # The lanes are archived one after the other, so that the last claims may have gaps.
            missing = sorted(set(range(client.acknowledged)) - set(numbers_of(place, client.name)))
            lost_claims += len(missing)
            if missing:
                lost = max(lost, ended - client.times[missing[0]])
    print(f"lost: {lost_claims} claims, of the last {lost:.1f} s", file=sys.stderr)
    return {"interval_s": interval, "lost_s": lost, "lost_claims": lost_claims, "claims": sum(client.acknowledged for client in clients)}


def report(figures, options):
    missed = []

    def target(name, is_met):
        missed.extend([] if is_met else [name])
        return "" if is_met else "  MISSED"

    print(f"{options.cores} cores, load average {figures['load_average']:.1f} when it began")
    if rows := figures.get("rate"):
        disk, backup = (statistics.median(row[name] for row in rows) for name in ("disk", "backup"))
        share = statistics.median(row["backup"] / row["disk"] for row in rows)
        note = target("rate", share >= RATE_TARGET)
        print(f"backup: {backup / 1e6:.0f} MB/s, the disk writes {disk / 1e6:.0f}; {share:.2f} of it (target {RATE_TARGET}){note}")
    if rows := figures.get("ingest"):
        with_, without = (statistics.median(row[name]["p99"] for row in rows) for name in ("with", "without"))
        ratio = statistics.median(row["with"]["p99"] / row["without"]["p99"] for row in rows)
        note = target("ingest", ratio <= P99_TARGET)
        print(f"{options.rate} claims a second: p99 {with_:.0f} µs during backups, {without:.0f} without; {ratio:.2f} times (target {P99_TARGET}){note}")
    if row := figures.get("restore"):
        seconds = row["restore_s"] + row["start_s"]
        note = target("restore", seconds <= RESTORE_TARGET_SECONDS)
        print(f"restore of {row['bytes'] / 1e9:.2f} GB: {row['restore_s']:.1f} s, and {row['start_s']:.1f} s to ready (target {RESTORE_TARGET_SECONDS} s){note}")
    if row := figures.get("moments"):
        median = statistics.median(row["restore_s"])
        print(
            f"{row['count']} moments restored exactly, of {row['claims']} claims, {row['backups']} backups and {row['segments_removed']:.0f} "
            f"segments that had left the log; {median:.1f} s each"
        )
    if rows := figures.get("loss"):
        worst = max(row["lost_s"] for row in rows)
        note = target("loss", worst <= LOSS_TARGET_SECONDS)
        print(f"lost with the machine: at most the last {worst:.1f} s, archived every {options.interval_seconds:g} s (target {LOSS_TARGET_SECONDS} s){note}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

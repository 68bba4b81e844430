"""Lasting ingest: whether log and tables stay within their bounds, and what checkpoints and backups cost those who write.

  cargo build --release --bin stemedb-api --bin stemedb-admin --bin stemedb-bench
  python3 bench/ingest.py

Single claims are due at a steady rate over 64 connections for half an hour, in windows of which each has its latencies, counted from when a claim was
due. The server has one core on CPU 0, where the thread for checkpoints and merges runs, too; the load is on CPU 1. Every few minutes a backup is
taken. Each second it is looked how much of the disk log and tables take, and of memory the server.

Before that and after it, as much load is put on fresh servers whose log segments are so large that none ends: they take no checkpoint, and nothing is backed
up. The ratio is that of the medians of the windows' p99, with and without. The rate is to be half of what `stemedb-bench curve` finds as the knee.

To see that it works: --minutes 2 --window-seconds 5 --backup-minutes 0.5 --rate 2000
"""

import argparse
import contextlib
import json
import os
import shutil
import stat
import statistics
import sys
import tempfile
import threading
import time

import backup
import measured
from measured import REPOSITORY, ServerFailed

RELEASE = os.path.join(REPOSITORY, "target", "release")

RATIO_TARGET = 2.0
# A merge writes what it reads before that is removed.
TABLES_RATIO_TARGET = 2.0
# So large that none ends in a window.
SEGMENT_WITHOUT_CHECKPOINTS = "1GiB"


def main():
    options = parse_arguments()
    figures = {"load_average": measured.begin(options.server, options.bench, options.admin)}
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        before = [measure_without(options, directory) for _ in range(options.rounds)]
        figures["with"], figures["samples"] = measure_with(options, directory, figures)
        figures["without"] = before + [measure_without(options, directory) for _ in range(options.rounds)]
    report(figures, options)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=29_000, help="claims that are due a second (default: %(default)s)")
    parser.add_argument("--window-seconds", dest="seconds", type=float, default=20.0, help="(default: %(default)s)")
    parser.add_argument("--backup-minutes", type=float, default=5.0, help="from one backup to the next (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="windows without checkpoints, before and after (default: %(default)s)")
    parser.add_argument("--dir", default="/var/tmp", help="where the data goes while it is measured; a real disk (default: %(default)s)")
    for name in ("server", "bench", "admin"):
        program = "stemedb-api" if name == "server" else f"stemedb-{name}"
        parser.add_argument(f"--{name}", default=os.path.join(RELEASE, program))
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    options.cores = 1
    return options


class Place(backup.Place):
    """As it is for backups, with the server on a CPU of its own."""

    cpus = frozenset({measured.SERVER_CPU})
    load_arguments = ("--cpu", str(measured.LOAD_CPU))

    def window(self):
        """Latencies of a window, and how much of the rate was achieved."""
        began = time.perf_counter()
        row = backup.load(self)
        print(
            f"{self.loads:3}: p50 {row['p50']:.0f} µs, p99 {row['p99']:.0f} µs, p99.9 {row['p999']:.0f} µs, "
            f"{self.count() / 1e6:.2f} million claims",
            file=sys.stderr,
        )
        return {**row, "began_s": began, "ended_s": time.perf_counter()}


def measure_without(options, directory):
    """A window on a fresh server that takes no checkpoint."""
    place = Place(options, os.path.join(directory, "without"))
    os.environ["STEMEDB_SEGMENT_BYTES"] = SEGMENT_WITHOUT_CHECKPOINTS
    try:
        with place.serving():
            row = place.window()
            if place.metric("stemedb_checkpoints_total") > 0:
                raise ServerFailed("a window without checkpoints has had one: it is too long for the rate")
    finally:
        del os.environ["STEMEDB_SEGMENT_BYTES"]
    shutil.rmtree(place.home)
    return row


def measure_with(options, directory, figures):
    """The windows of the whole time, and what was seen every second."""
    place = Place(options, os.path.join(directory, "with"))
    rows, samples, failures = [], [], []
    figures["backups"] = []
    with place.serving() as process_id:
        over = threading.Event()
        threads = [
            threading.Thread(target=look, args=(place, process_id, over, samples, failures)),
            threading.Thread(target=back_up, args=(place, over, figures, failures)),
        ]
        for thread in threads:
            thread.start()
        try:
            began = time.monotonic()
            while time.monotonic() - began < options.minutes * 60 and not failures:
                rows.append(place.window())
        finally:
            over.set()
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]
        figures["covered_at_end"] = place.metric("stemedb_tables_assertions")
        figures["claims"] = place.count()
        figures["wal_bytes_bound"] = place.metric("stemedb_wal_bytes_max")
        figures["rejected"] = rejected(place)
        began = time.monotonic()
        place.wait_until("checkpoints have caught up", lambda: place.metric("stemedb_wal_segments_total") <= 3)
        backup.settle(place)
        figures["settle_s"] = time.monotonic() - began
        figures["tables_settled_bytes"] = disk_bytes(place)["db"]
    for row in rows:
        row["with_backup"] = any(row["began_s"] < backup["ended_s"] and backup["began_s"] < row["ended_s"] for backup in figures["backups"])
    return rows, samples


def rejected(place):
    """Claims that were refused, for whatever reason."""
    lines = place.get("/metrics")[1].splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("stemedb_assertions_rejected_total"))


def look(place, process_id, over, samples, failures):
    try:
        while not over.wait(1.0):
            row = {"at_s": time.perf_counter(), "rss": resident_bytes(process_id), **disk_bytes(place)}
            samples.append(row)
    except Exception as failure:
        failures.append(failure)


def resident_bytes(process_id):
    with open(f"/proc/{process_id}/statm", encoding="utf-8") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def disk_bytes(place):
    """What log, tables and index snapshots take of the disk."""
    taken = {}
    for name in ("wal", "db", os.path.join("db", "indexes")):
        directory = os.path.join(place.directory, name)
        total = 0
        for file in os.listdir(directory) if os.path.isdir(directory) else []:
            # It may be gone by now.
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(os.path.join(directory, file))
                total += found.st_blocks * 512 if stat.S_ISREG(found.st_mode) else 0
        taken[os.path.basename(name)] = total
    return taken


def back_up(place, over, figures, failures):
    pause = place.options.backup_minutes * 60
    try:
        while not over.wait(pause):
            # Each a full one. All are kept: giving back gigabytes at once would be measured, too.
            to = os.path.join(place.backups, str(len(figures["backups"])))
            began = time.perf_counter()
            size = place.back_up(to)["size_bytes"]
            figures["backups"].append({"bytes": size, "began_s": began, "ended_s": time.perf_counter()})
    except Exception as failure:
        failures.append(failure)


def report(figures, options):
    median = lambda rows, name: statistics.median(row[name] for row in rows)
    rows, without = figures["with"], figures["without"]
    with_backup = [row for row in rows if row["with_backup"]]
    seconds = len(rows) * options.seconds
    print(f"{figures['claims']} claims in {len(rows)} windows of {options.seconds:g} s at {options.rate} a second")
    print(f"load average when it began: {figures['load_average']:.1f}")
    ratios = {}
    for what, some in (("with checkpoints", rows), ("with a backup, too", with_backup), ("without either", without)):
        if some:
            told = ", ".join(f"{name} {median(some, name):.0f} µs" for name in ("p50", "p99", "p999"))
            ratios[what] = median(some, "p99") / median(without, "p99")
            print(f"{what:18}: {told} ({len(some)} windows), p99 {ratios[what]:.2f} times")
    samples = figures["samples"]
    log_max, bound = max(row["wal"] for row in samples), figures["wal_bytes_bound"]
    tables_max, settled = max(row["db"] for row in samples), figures["tables_settled_bytes"]
    print(f"log: at most {log_max / 1e6:.0f} MB of {bound / 1e6:.0f} MB")
    print(f"tables: at most {tables_max / 1e6:.0f} MB, {settled / 1e6:.0f} MB in the end: {settled / figures['claims']:.0f} bytes a claim")
    print(f"index snapshots: at most {max(row['indexes'] for row in samples) / 1e6:.0f} MB")
    print(f"memory: {samples[-1]['rss'] / 1e6:.0f} MB, {samples[-1]['rss'] / figures['claims']:.0f} bytes a claim")
    covered = figures["covered_at_end"] / figures["claims"]
    print(f"in tables when the load ended: {covered:.1%} of the claims; the rest took {figures['settle_s']:.0f} s")
    print(f"refused: {figures['rejected']:.0f}; backups: {len(figures['backups'])}")
    achieved = figures["claims"] / (seconds * options.rate)
    print(f"achieved: {achieved:.1%} of the rate, warming up included")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)
    is_met = (
        max(ratios.values()) <= RATIO_TARGET and log_max <= bound and tables_max <= TABLES_RATIO_TARGET * settled and figures["rejected"] == 0
    )
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()

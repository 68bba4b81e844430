"""The quick benchmark: StemeDB and its peers side by side, in one run, as ratios.

  cargo build --release --bin stemedb-api
  python3 bench/quick

In every round each server is started fresh and alone, pinned to CPU 0, with its data in a directory of its own on
the same file system; the load comes from CPU 1. Rounds are interleaved (all servers in round 1, then all in round 2,
…) and a ratio is taken within a round, so that a machine whose speed drifts does not favour one of them.
Reported are the median of the rounds and their range. A server that is not installed is skipped.

Everybody stores the same 200 bytes and answers only when they are durable:

  StemeDB     POST /v1/assert by wrk, one claim a request, 64 connections; the count of stored claims must grow by
              the number of answers. Also one connection, NDJSON batches of 1000 by 8 connections, and recovery
              of all that after kill -9.
  Redis       SET by redis-benchmark -c 64, appendfsync always
  PostgreSQL  single-row INSERT by pgbench -c 64, prepared, synchronous_commit on
  etcd        put by wrk through the JSON gateway, 64 connections
  nginx, fio  one empty reply, and one durable 4 KiB O_DIRECT write: what one durable request cannot do without
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile

from processes import ServerFailed
from report import summarise, summarise_parts, to_text
from servers import Etcd, Fio, Nginx, Postgres, Redis, StemeDb

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NEEDED = ("wrk", "taskset")


def main():
    options = parse_arguments()
    # So that whatever is running is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    absent = [command for command in NEEDED if shutil.which(command) is None]
    if absent or os.cpu_count() < 2:
        sys.exit(f"not here, but needed: {', '.join(absent) or 'a second CPU'}")
    busy = os.getloadavg()[0]
    if busy > 0.3:
        print(f"warning: this machine is busy (load average {busy:.1f}); the figures will say little", file=sys.stderr)
    servers = choose_servers(options)
    rounds = []
    for number in range(1, options.rounds + 1):
        measured = {}
        for server in servers:
            print(f"round {number} of {options.rounds}: {server.name}", file=sys.stderr)
            measured.update(measure(server, options))
        rounds.append(measured)
    parts, ratios = summarise_parts(rounds), summarise(rounds)
    environment = describe_environment(options, servers, busy)
    print(f"{environment['cpu']}, Linux {environment['kernel']}, {environment['file_system']} in {options.dir}")
    print(f"{options.rounds} rounds of {options.seconds} s\n")
    print(to_text(parts, ratios))
    if options.json:
        raw = [{f"{server} {load}": result for (server, load), result in measured.items()} for measured in rounds]
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"environment": environment, "ratios": ratios, "parts": parts, "rounds": raw}, file, indent=1)
            file.write("\n")


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="bench/quick", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default: %(default)s)")
    parser.add_argument("--only", metavar="NAMES", help="comma-separated: stemedb,redis,postgresql,etcd,nginx,fio")
    parser.add_argument("--dir", default="/var/tmp", help="where the data goes; a real disk (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all figures there, too")
    binary = os.path.join(REPOSITORY, "target", "release", "stemedb-api")
    parser.add_argument("--server", default=binary, help="the StemeDB server (default: target/release/stemedb-api)")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    return options


def choose_servers(options):
    known = [Fio(), Nginx(), StemeDb(options.server), Redis(), Postgres(), Etcd()]
    names = options.only.lower().split(",") if options.only else [server.name.lower() for server in known]
    unknown = set(names) - {server.name.lower() for server in known}
    if unknown:
        sys.exit(f"--only: unknown: {', '.join(sorted(unknown))}")
    chosen = []
    for server in known:
        if server.name.lower() in names:
            missing = server.missing()
            if missing:
                print(f"skipped {server.name}: {missing}", file=sys.stderr)
            else:
                chosen.append(server)
    return chosen


def measure(server, options):
    """All measurements of one server in one round, by (server, load). A failure costs these, not the whole run."""
    measured = {}
    with tempfile.TemporaryDirectory(prefix="stemedb-quick-", dir=options.dir) as directory:
        os.chmod(directory, 0o755)  # PostgreSQL runs as another user.
        own_directory = os.path.join(directory, "data")
        os.mkdir(own_directory)
        os.sync()  # What was written before is not this server's to wait for.
        try:
            with server.start(own_directory) as process:
                for load, result in server.measurements(process, options.seconds):
                    measured[server.name, load] = result
        except (ServerFailed, OSError, subprocess.CalledProcessError) as error:
            print(f"{server.name} failed: {error}", file=sys.stderr)
    return measured


def describe_environment(options, servers, busy):
    file_system = subprocess.run(
        ["stat", "-f", "-c", "%T", options.dir], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    return {
        "cpu": f"{os.cpu_count()} × {cpu_model()}",
        "kernel": platform.release(),
        "file_system": file_system,
        "load_average_before": busy,
        "versions": {server.name: server.version() for server in servers},
    }


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()

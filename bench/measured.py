"""Servers that are measured: what they need of the machine, where they run, and that they stop at the end whatever happens."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SERVER_CPU = 0
LOAD_CPU = 1
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 60
LOAD_AVERAGE_MAX = 0.3


class ServerFailed(Exception):
    """A server did not start, or did not answer as it should."""


def begin(*binaries, cpus_min=2):
    """Ends the program here if it cannot measure on this machine. Gives the load average, which it is measured beside."""
    # So that whatever is running is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if os.cpu_count() < cpus_min:
        sys.exit(f"not here, but needed: {cpus_min} CPUs")
    for binary in binaries:
        if not os.access(binary, os.X_OK):
            sys.exit(f"no {binary}: cargo build --release -p stemedb-net -p stemedb-bench")
    busy = os.getloadavg()[0]
    if busy > LOAD_AVERAGE_MAX:
        print(f"warning: this machine is busy (load average {busy:.1f}); the figures will say little", file=sys.stderr)
    return busy


class Running:
    """A server that listens on a port, and the process whose CPU is counted."""

    def __init__(self, port, process_id):
        self.port = port
        self.process_id = process_id

    def cpu_seconds(self):
        """What the process has taken so far."""
        return cpu_seconds(self.process_id)


def cpu_seconds(process_id):
    """The CPU time of a process, user and system, as the kernel counted it."""
    with open(f"/proc/{process_id}/stat", encoding="utf-8") as stat:
        # The name, which may hold anything, is in parentheses.
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def stemedb(binary, directory, certificate=None):
    """A StemeDB server with one core, its data in `directory`; with a certificate's file and its key's it speaks TLS."""
    port = free_port()
    data = os.path.join(directory, f"data-{port}")
    environment = {
        **os.environ,
        "STEMEDB_BIND_ADDR": f"127.0.0.1:{port}",
        "STEMEDB_WAL_DIR": os.path.join(data, "wal"),
        "STEMEDB_DB_DIR": os.path.join(data, "db"),
        "STEMEDB_CORES": "1",  # Of the one CPU that it may run on.
    }
    if certificate:
        environment |= {
            "STEMEDB_TLS_ENABLED": "true", "STEMEDB_TLS_CERT": certificate[0], "STEMEDB_TLS_KEY": certificate[1],
        }
    log_path = os.path.join(directory, f"log-{port}")
    # It listens while it recovers.
    with started([binary], environment, log_path, lambda: "Startup complete" in read(log_path)) as process_id:
        yield Running(port, process_id)


@contextlib.contextmanager
def started(command, environment, log_path, is_ready, cpus=frozenset({SERVER_CPU}), start_seconds_max=START_SECONDS_MAX):
    """Runs a server on these CPUs until the end of the block, which begins when it is ready."""
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
    try:
        deadline = time.monotonic() + start_seconds_max
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"{command[0]} did not start:\n{read(log_path)[-2000:]}")
            time.sleep(0.005)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()

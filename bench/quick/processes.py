"""Starting processes on one CPU, watching what they use, and stopping what was started."""

import contextlib
import os
import signal
import socket
import subprocess
import time

SERVER_CPU = 0
LOAD_CPU = 1

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 20


class ServerFailed(Exception):
    """A server did not start, or did not answer as it should."""


@contextlib.contextmanager
def running(command, log_path, is_ready, stop_signal=signal.SIGTERM, **popen_options):
    """Run a server pinned to SERVER_CPU; yields its process once `is_ready()`, stops it by its pid at the end."""
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CPU), *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **popen_options,
        )
    try:
        wait_until_ready(process, is_ready, log_path)
        yield process
    finally:
        process.send_signal(stop_signal)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(process, is_ready, log_path):
    deadline = time.monotonic() + START_SECONDS_MAX
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            with open(log_path, encoding="utf-8", errors="replace") as log:
                raise ServerFailed(f"{process.args[3]} did not start:\n{log.read()[-2000:]}")
        time.sleep(0.01)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port):
    """Whether something listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run_load(command):
    """Run a load generator pinned to LOAD_CPU; returns its output and the share of its CPU that it used."""
    process = subprocess.Popen(
        ["taskset", "-c", str(LOAD_CPU), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    started = time.monotonic()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise ServerFailed(f"{' '.join(command[:3])} … failed:\n{output[-2000:]}")
    return output, (usage.ru_utime + usage.ru_stime) / (time.monotonic() - started)


class Usage:
    """Measures the CPU that a server and its children use between two moments."""

    def __init__(self, process):
        self.pid = process.pid
        self.cpu_seconds = self.read_cpu_seconds()
        self.started = time.monotonic()

    def cpu_share(self):
        return (self.read_cpu_seconds() - self.cpu_seconds) / (time.monotonic() - self.started)

    def read_cpu_seconds(self):
        ticks = 0
        for pid in process_tree(self.pid):
            with contextlib.suppress(OSError):  # A child may end meanwhile; its parent has its times then.
                # utime, stime, cutime, cstime: fields 14 to 17 of proc(5).
                ticks += sum(map(int, stat_fields(pid)[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")


def strays(process):
    """Names of the server's threads that may run elsewhere than on SERVER_CPU."""
    names = set()
    for pid in process_tree(process.pid):
        with contextlib.suppress(OSError):  # Threads come and go.
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as status:
                    fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
                if fields["Cpus_allowed_list"] != str(SERVER_CPU):
                    names.add(fields["Name"])
    return sorted(names)


def resident_bytes(process):
    """The resident memory of a process, in bytes."""
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise ServerFailed(f"process {process.pid} has ended")


def process_tree(root):
    """A process and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(stat_fields(entry)[1]), []).append(int(entry))
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, []))
    return tree


def stat_fields(pid):
    """The fields of /proc/PID/stat after the name: state, ppid, …"""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()

"""The servers of the quick benchmark: each started fresh, alone, on the same CPU and the same file system.

A server class says how to start it (`start`, a context manager that yields the process) and measures itself
under each of the loads it takes part in (`measurements`).
"""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
import urllib.request

from processes import ServerFailed, Usage, accepts, free_port, resident_bytes, run_load, running, strays

CLIENTS = 64
BATCH_CLIENTS = 8
BATCH_CLAIMS = 1000
WARM_UP_SECONDS = 1
LUA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "claims.lua")


def measured(process, load):
    """Run `load()` and add what the server used meanwhile to the result that it returns."""
    usage = Usage(process)
    result = load()
    result["server_cpu"] = usage.cpu_share()
    result["strays"] = strays(process)
    return result


def wrk(url, clients, seconds, mode, run, check=False):
    """One run of wrk. `run` is a number that keeps this run's claims apart from those of other runs."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", LUA, url, "--", mode, f"{run:06d}"]
    output, load_cpu = run_load(command + ["check"] * check)
    result = json.loads(re.search(r"^RESULT (.*)$", output, re.MULTILINE)[1])
    wrong = {name: result[name] for name in ("socket_errors", "status_errors", "unexpected") if result[name]}
    if wrong:
        raise ServerFailed(f"wrk {mode} against {url}: {wrong}\n{output[-2000:]}")
    rate = result["requests"] / result["seconds"]
    return {"rate": rate, "p50_us": result["p50_us"], "p99_us": result["p99_us"], "load_cpu": load_cpu, **result}


class StemeDb:
    name = "StemeDB"

    def __init__(self, binary):
        self.binary = binary
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.runs = 0

    def missing(self):
        return None if os.access(self.binary, os.X_OK) else f"no {self.binary}: cargo build --release --bin stemedb-api"

    def version(self):
        return first_line([self.binary, "--version"])

    @contextlib.contextmanager
    def start(self, directory):
        environment = {
            **os.environ,
            "STEMEDB_BIND_ADDR": f"127.0.0.1:{self.port}",
            "STEMEDB_WAL_DIR": os.path.join(directory, "wal"),
            "STEMEDB_DB_DIR": os.path.join(directory, "db"),
            "STEMEDB_CORES": "1",  # Of the one CPU that it may run on.
        }
        self.directory = directory
        log = os.path.join(directory, "log")
        with running([self.binary], log, self.is_ready, env=environment) as process:
            yield process

    def is_ready(self):
        with contextlib.suppress(OSError), urllib.request.urlopen(self.url + "/ready", timeout=1) as answer:
            return answer.status == 200
        return False

    def measurements(self, process, seconds):
        yield "durable_64", self.measure(process, CLIENTS, seconds, "single", 1)
        yield "durable_1", self.measure(process, 1, seconds, "single", 1)
        yield "batch", self.measure(process, BATCH_CLIENTS, seconds, "batch", BATCH_CLAIMS)
        yield "recovery", self.recover(process)

    def measure(self, process, clients, seconds, mode, claims_a_request):
        """A checked warm-up, then the measured run; every answer of it must have stored its claims.

        wrk would slow down if it looked at each answer, so the measured run is checked by the server's own
        count: it has to grow by all that was answered. A claim that was only found to exist would not count.
        """
        wrk(self.url, clients, WARM_UP_SECONDS, mode, self.next_run(), check=True)
        before = self.assertion_count()
        result = measured(process, lambda: wrk(self.url, clients, seconds, mode, self.next_run()))
        stored, answered = self.assertion_count() - before, result["requests"] * claims_a_request
        if stored < answered:
            raise ServerFailed(f"{answered} claims were answered, but the count grew by {stored}")
        result["rate"] *= claims_a_request
        return result

    def recover(self, process):
        """Kill the server and start it again: the time until it serves all that it had, by this clock."""
        counted = self.assertion_count()
        process.kill()
        process.wait()
        started = time.monotonic()
        with self.start(self.directory) as recovered:
            seconds = time.monotonic() - started
            # Batches whose sender had gone may have been stored after they were counted.
            claims = self.assertion_count()
            if claims < counted:
                raise ServerFailed(f"{counted} claims before kill -9, {claims} after")
            return {"rate": claims / seconds, "claims": claims, "bytes_a_claim": resident_bytes(recovered) / claims}

    def next_run(self):
        self.runs += 1
        return self.runs

    def assertion_count(self):
        with urllib.request.urlopen(self.url + "/v1/health", timeout=5) as answer:
            return json.load(answer)["assertion_count"]


class Redis:
    """Redis with every write in its append-only file, and that on disk, before it answers."""

    name = "Redis"

    def missing(self):
        return missing_commands("redis-server", "redis-benchmark")

    def version(self):
        return first_line(["redis-server", "--version"])

    @contextlib.contextmanager
    def start(self, directory):
        self.port = free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", directory]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command += ["--auto-aof-rewrite-percentage", "0"]  # No rewrite in the middle of a measurement.
        with running(command, os.path.join(directory, "log"), lambda: accepts(self.port)) as process:
            yield process

    def measurements(self, process, seconds):
        rate = self.benchmark(20_000)["rate"]
        yield "durable_64", measured(process, lambda: self.benchmark(int(rate * seconds)))

    def benchmark(self, requests):
        claim = example_claim().replace("@" * 12, "__rand_int__")
        command = ["redis-benchmark", "-p", str(self.port), "-c", str(CLIENTS), "-r", "100000", "-n", str(requests)]
        output, load_cpu = run_load(command + ["--csv", "SET", "bench/sensor/__rand_int__", claim])
        # The last line: the command, its quotes not escaped, then rps, avg, min, p50, p95, p99, max.
        rate, _, _, p50_ms, _, p99_ms, _ = map(float, re.findall(r'"([0-9.]+)"', output.splitlines()[-1])[-7:])
        return {"rate": rate, "p50_us": p50_ms * 1e3, "p99_us": p99_ms * 1e3, "load_cpu": load_cpu}


class Postgres:
    """PostgreSQL: one row a transaction, committed synchronously."""

    name = "PostgreSQL"

    def missing(self):
        if pg_binary("postgres") is None:
            return "no PostgreSQL 15 in /usr/lib/postgresql or on the PATH"
        return missing_commands("pgbench")

    def version(self):
        return first_line([pg_binary("postgres"), "--version"])

    @contextlib.contextmanager
    def start(self, directory):
        self.port = free_port()
        self.identity = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root.
            self.identity = {"user": "postgres", "group": "postgres", "extra_groups": []}
            account = pwd.getpwnam("postgres")
            os.chown(directory, account.pw_uid, account.pw_gid)
        data = os.path.join(directory, "data")
        initdb = [pg_binary("initdb"), "-D", data, "-U", "bench", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=directory, **self.identity)
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": directory,
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "shared_buffers": "256MB",
            "max_wal_size": "8GB",  # No checkpoint in the middle of a measurement.
        }
        command = [pg_binary("postgres"), "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = os.path.join(directory, "log")
        # SIGINT is PostgreSQL's fast shutdown.
        with running(command, log, self.is_ready, signal.SIGINT, cwd=directory, **self.identity) as process:
            self.sql("CREATE TABLE claim (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)")
            self.script = os.path.join(directory, "insert.sql")
            with open(self.script, "w", encoding="utf-8") as script:
                script.write("\\set n random(100000000000, 999999999999)\n")
                body = " || :n || ".join(f"'{part}'" for part in example_claim().split("@" * 12))
                script.write(f"INSERT INTO claim (body) VALUES ({body});\n")
            yield process

    def is_ready(self):
        ready = subprocess.run([pg_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False)
        return ready.returncode == 0

    def sql(self, statement):
        command = [pg_binary("psql"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "-d", "postgres"]
        subprocess.run(command + ["-c", statement], check=True)

    def measurements(self, process, seconds):
        self.benchmark(WARM_UP_SECONDS)
        yield "durable_64", measured(process, lambda: self.benchmark(seconds))

    def benchmark(self, seconds):
        command = ["pgbench", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "-n", "-M", "prepared"]
        command += ["-c", str(CLIENTS), "-j", "1", "-T", str(seconds), "-f", self.script, "postgres"]
        output, load_cpu = run_load(command)
        if not re.search(r"number of failed transactions: 0 ", output):
            raise ServerFailed(output)
        return {"rate": float(re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE)[1]), "load_cpu": load_cpu}


class Etcd:
    """etcd through its JSON gateway: its own benchmark tool is not packaged by Debian.

    The gateway costs etcd CPU that its gRPC interface would not: read the factor with that in mind.
    """

    name = "etcd"

    def missing(self):
        return missing_commands("etcd")

    def version(self):
        return first_line(["etcd", "--version"])

    @contextlib.contextmanager
    def start(self, directory):
        self.url = f"http://127.0.0.1:{free_port()}"
        peer_url = f"http://127.0.0.1:{free_port()}"
        command = ["etcd", "--data-dir", os.path.join(directory, "data"), "--quota-backend-bytes", str(8 << 30)]
        command += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        command += ["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]
        command += ["--initial-cluster", f"default={peer_url}", "--log-level", "error"]
        with running(command, os.path.join(directory, "log"), self.is_ready) as process:
            yield process

    def is_ready(self):
        with contextlib.suppress(OSError), urllib.request.urlopen(self.url + "/health", timeout=1) as answer:
            return json.load(answer)["health"] == "true"
        return False

    def measurements(self, process, seconds):
        wrk(self.url, CLIENTS, WARM_UP_SECONDS, "put", 1, check=True)
        yield "durable_64", measured(process, lambda: wrk(self.url, CLIENTS, seconds, "put", 2))


class Nginx:
    """nginx answering nothing: what one HTTP exchange costs on this machine."""

    name = "nginx"

    def missing(self):
        return missing_commands("nginx")

    def version(self):
        return first_line(["nginx", "-v"])

    @contextlib.contextmanager
    def start(self, directory):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        configuration = os.path.join(directory, "nginx.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(NGINX_CONFIGURATION.format(directory=directory, port=port))
        command = ["nginx", "-p", directory, "-c", configuration, "-e", os.path.join(directory, "error.log")]
        with running(command, os.path.join(directory, "log"), lambda: accepts(port)) as process:
            yield process

    def measurements(self, process, seconds):
        wrk(self.url, 1, WARM_UP_SECONDS, "empty", 0, check=True)
        yield "empty_1", measured(process, lambda: wrk(self.url, 1, seconds, "empty", 0))


NGINX_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 ""; }}
    }}
}}
"""


class Fio:
    """No server: one durable 4 KiB write after the other to a file whose blocks were written before."""

    name = "fio"

    def missing(self):
        return missing_commands("fio")

    def version(self):
        return first_line(["fio", "--version"])

    @contextlib.contextmanager
    def start(self, directory):
        self.file = os.path.join(directory, "fio.data")
        with open(self.file, "wb") as file:
            for _ in range(64):
                file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
        yield None

    def measurements(self, _process, seconds):
        command = ["taskset", "-c", "0", "fio", "--name=durable", f"--filename={self.file}", "--size=64m", "--bs=4k"]
        command += ["--rw=write", "--ioengine=psync", "--direct=1", "--sync=dsync", "--time_based"]
        command += [f"--runtime={seconds}", "--output-format=json"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        written = json.loads(output[output.index("{"):])["jobs"][0]["write"]
        percentile = written["clat_ns"]["percentile"]
        result = {"rate": written["iops"], "p50_us": percentile["50.000000"] / 1e3, "p99_us": percentile["99.000000"] / 1e3}
        yield "write_1", result


def example_claim():
    """The 200 bytes that claims.lua sends, `@@@@@@@@@@@@` in place of the twelve digits that differ each time."""
    claim = (
        '{"concept_path":"bench/sensor/000001","predicate":"reading","value":"000001@@@@@@@@@@@@","confidence":0.95,'
        '"source":"source/bench/quick","source_class":"observational"'
    )
    return claim + " " * (199 - len(claim)) + "}"


def missing_commands(*commands):
    absent = [command for command in commands if shutil.which(command) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def pg_binary(name):
    """A program of PostgreSQL 15, which Debian keeps off the PATH."""
    debian = f"/usr/lib/postgresql/15/bin/{name}"
    return debian if os.path.exists(debian) else shutil.which(name)


def first_line(command):
    output = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    return output.splitlines()[0] if output else ""

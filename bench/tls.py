"""What TLS costs: server CPU a request on a warm connection, with and without TLS, and a full handshake, next to nginx with the
same certificate.

  cargo build --release --bin stemedb-api
  python3 bench/tls.py

Needs nginx, wrk and openssl. Both servers have one core or worker, pinned to CPU 0; the load is on CPU 1. A request is
`GET /ready`, to which StemeDB answers a few bytes and nginx returns the same ones from its configuration; 64 connections
of wrk ask it again and again. Handshakes are those of `openssl s_time`, one connection after the other, without
resumption. The certificate has a key on P-256, as most have that are issued today; TLS is 1.3.

CPU is what the kernel counted for the server's process, user and system, divided by what it did: other load on the machine
disturbs it less than it does rates. Every round measures everything once, in an order that is drawn; a figure is the
median over the rounds, beside it stands their range.
"""

import argparse
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

import measured
from measured import LOAD_CPU, REPOSITORY, ServerFailed

CONNECTIONS = 64
ANSWER = '{"status":"ready"}'
STEMEDB, NGINX = "StemeDB", "nginx"
PLAIN, TLS, HANDSHAKE = "request, plain HTTP", "request, warm TLS connection", "full handshake"


def main():
    options = parse_arguments()
    measured.begin(options.server)
    with tempfile.TemporaryDirectory(dir=options.dir) as directory, contextlib.ExitStack() as running:
        # Workers of an nginx that root starts run as nobody.
        os.chmod(directory, 0o755)
        certificate = make_certificate(directory)
        servers = {}
        for secured in (None, certificate):
            is_secured = secured is not None
            stemedb = measured.stemedb(options.server, directory, secured)
            servers[STEMEDB, is_secured] = running.enter_context(stemedb)
            servers[NGINX, is_secured] = running.enter_context(start_nginx(directory, secured))
        rounds = [measure_round(number, servers, options) for number in range(1, options.rounds + 1)]
    report(rounds, options)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2, help="for each measurement")
    parser.add_argument("--dir", default="/var/tmp", help="where data and certificate go (default: %(default)s)")
    parser.add_argument("--server", default=os.path.join(REPOSITORY, "target", "release", "stemedb-api"))
    parser.add_argument("--json", help="also write the figures to this file")
    return parser.parse_args()


def make_certificate(directory):
    certificate, key = (os.path.join(directory, name) for name in ("cert.pem", "key.pem"))
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key,
    ]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return certificate, key


@contextlib.contextmanager
def start_nginx(directory, certificate):
    port = measured.free_port()
    prefix = os.path.join(directory, f"nginx-{port}")
    os.mkdir(prefix)
    tls = ""
    if certificate:
        tls = f"ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]}; ssl_protocols TLSv1.2 TLSv1.3;"
    configuration = f"""
daemon off;
master_process off;
pid {prefix}/pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    keepalive_requests 1000000000;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} {"ssl" if certificate else ""};
        {tls}
        location / {{ return 200 '{ANSWER}'; }}
    }}
}}
"""
    path = os.path.join(prefix, "nginx.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(configuration)
    nginx = "/usr/sbin/nginx" if os.access("/usr/sbin/nginx", os.X_OK) else "nginx"
    command = [nginx, "-p", prefix, "-c", path, "-e", os.path.join(prefix, "error.log")]
    log_path = os.path.join(directory, f"log-{port}")
    with measured.started(command, os.environ, log_path, lambda: measured.listens(port)) as process_id:
        yield measured.Running(port, process_id)


def measure_round(number, servers, options):
    print(f"round {number} of {options.rounds}", file=sys.stderr)
    experiments = [
        (name, what) for name in (STEMEDB, NGINX) for what in (PLAIN, TLS, HANDSHAKE)
    ]
    random.shuffle(experiments)
    return {
        (name, what): measure(what, servers[name, what != PLAIN], options.seconds) for name, what in experiments
    }


def measure(what, server, seconds):
    """CPU of the server in microseconds for each, and how many a second there were."""
    before, began = server.cpu_seconds(), time.monotonic()
    count = shake_hands(server.port, seconds) if what == HANDSHAKE else ask(server.port, what == TLS, seconds)
    elapsed, cpu = time.monotonic() - began, server.cpu_seconds() - before
    return {"cpu_us": cpu * 1e6 / count, "a_second": count / elapsed}


def on_load_cpu(command):
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
    )
    if result.returncode != 0:
        raise ServerFailed(f"{command[0]}: {result.stdout}")
    return result.stdout


def ask(port, secured, seconds):
    scheme = "https" if secured else "http"
    url = f"{scheme}://127.0.0.1:{port}/ready"
    said = on_load_cpu(["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", url])
    if "Non-2xx" in said or "Socket errors" in said:
        raise ServerFailed(said)
    return int(re.search(r"(\d+) requests in", said)[1])


def shake_hands(port, seconds):
    said = on_load_cpu(["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-tls1_3", "-time", str(seconds)])
    return int(re.search(r"(\d+) connections in \d+ real seconds", said)[1])


def report(rounds, options):
    print("| CPU of the server for | StemeDB | nginx | StemeDB ÷ nginx |")
    print("|---|---:|---:|---:|")
    figures = {}
    for what in (PLAIN, TLS, HANDSHAKE):
        cells = []
        for name in (STEMEDB, NGINX):
            values = [measured[name, what]["cpu_us"] for measured in rounds]
            rate = statistics.median(measured[name, what]["a_second"] for measured in rounds)
            figures[f"{name}, {what}"] = {"cpu_us": values, "a_second": rate}
            cells.append(f"{statistics.median(values):.1f} µs ({min(values):.1f}–{max(values):.1f})")
        ratio = statistics.median(
            measured[STEMEDB, what]["cpu_us"] / measured[NGINX, what]["cpu_us"] for measured in rounds
        )
        print(f"| a {what} | {cells[0]} | {cells[1]} | {ratio:.2f} |")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()

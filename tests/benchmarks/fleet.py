"""What a fleet costs the host that monitors it: `python -m tests.benchmarks.fleet`.

1,000 databases with ten jobs each, on four servers, over TCP with passwords: all 10,000 jobs are judged by one run of
check_jobmon --targets, and its results are printed, submitted, or written as metrics. Of each way, processor time (user and
system, of the process and its children), elapsed time, the largest resident size of a process, how many connections were open
at once, on the host and at the busiest server, and the processor time that it cost the servers. The servers are on the same
machine, so where there are two cores, the elapsed time is that of both together. Takes 10 GB of disk.

What was tried and did not pay is in targets.py. To make the query's text once for all targets would save a twentieth of our CPU;
most of that is libpq's, which connects and hashes passwords.
"""

import argparse
import collections
import contextlib
import http.server
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import Any

import psycopg

from check_jobmon.demo.server import Server
from tests.benchmarks.targets import Cost, launcher, median, prepare
from tests.database import Database

JOBS = 10
RUNS = 50
"""Runs of each job in each log, with a step."""
SERVERS = 4
TICK = os.sysconf("SC_CLK_TCK")
HISTORY = """
    WITH run AS (
        INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
        SELECT 'loader', 'NIGHTLY LOAD ' || job, at, at + interval '5 minutes', 'OK', 1
          FROM generate_series(1, %s) AS job, generate_series(1, %s) AS n, LATERAL (SELECT now() - n * interval '1 hour') AS t(at)
        RETURNING job_id, start_time, end_time)
    INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, elapsed_time, status, message)
    SELECT job_id, 'load', start_time, end_time, 300, 'OK', '42 rows' FROM run
"""
CONFIG = """
    INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity)
    SELECT 'NIGHTLY LOAD ' || job, '1 day', '2 days', true, 0 FROM generate_series(1, %s) AS job
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", type=int, default=1000, help="how many (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts (%(default)s)")
    tls = "folder with the programs of a PostgreSQL that was built with OpenSSL, as the embedded one isn't: measures TLS, too"
    parser.add_argument("--tls", metavar="DIR", type=Path, help=tls)
    arguments = parser.parse_args()
    settings = {"shared_buffers": "256MB", "fsync": "off", "wal_level": "minimal", "max_wal_senders": "0"}
    settings["max_connections"] = "300"  # where the machine is busy, each check takes longer, and more are under way
    servers = [Server(arguments.tls, settings, tcp=True) for _ in range(SERVERS)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(servers, Path(folder), arguments.databases, arguments.rounds, bool(arguments.tls))
    finally:
        for server in servers:
            server.remove()
    return 0


def measure(servers: list[Server], folder: Path, number: int, rounds: int, with_tls: bool) -> None:
    """All of it."""
    certificate = certify(folder)
    databases: list[Database] = []
    for server in servers:
        server.create()
        for kind in ("crt", "key"):
            server._write(server.data / f"server.{kind}", (folder / f"server.{kind}").read_text())
        server.settings["ssl"] = "on" if with_tls else "off"
        server.start()
    with ThreadPoolExecutor() as threads:
        for made in threads.map(lambda server: prepare(server, number // len(servers), _fill), servers):
            databases += made
    with databases[0].connect() as session:
        version = session.info.parameter_status("server_version")
    passwords = folder / "pgpass"
    passwords.write_text("*:*:*:monitor:secret\n")
    passwords.chmod(0o600)
    (folder / "netrc").write_text("machine localhost login api password secret\n")
    (folder / "netrc").chmod(0o600)
    results = folder / "checkresults"
    results.mkdir()
    environment = {"PATH": os.defpath, "HOME": str(folder), "PGPASSFILE": str(passwords), "LANG": "C.UTF-8"}
    run = launcher({**environment, "NETRC": str(folder / "netrc"), "SSL_CERT_FILE": str(certificate)})
    plugin = [sys.executable, "-m", "check_jobmon", "-t", "300"]

    def file(targets: int, tls: str) -> str:
        """One that names some of each server, in turns."""
        path = folder / f"{targets}-{tls}.yml"
        each = number // len(servers)
        chosen = [databases[i % len(servers) * each + i // len(servers) % each] for i in range(targets)]
        options = f"host: 127.0.0.1, user: monitor, sslmode: {tls}"
        lines = [f"  db{i}: {{{options}, port: {d.server.port}, dbname: {d.name}}}" for i, d in enumerate(chosen)]
        path.write_text("\n".join(["hosts:", *lines]) + "\n")
        return str(path)

    with icinga(certificate, folder / "server.key") as url:
        every = ["--targets", file(number, "disable")]
        ways = {
            **{f"{n:,} targets": (n, ["--targets", file(n, "disable")]) for n in (10, 100, number)},
            "... as metrics of each job": (number, [*every, "--output", "openmetrics", "-o", str(folder / "metrics")]),
            "... submitted to Nagios": (number, [*every, "--submit", f"nagios:{results}"]),
            "... submitted, and each job": (number, [*every, "--submit", f"nagios:{results}", "--per-job"]),
            "... submitted to Icinga": (number, [*every, "--submit", f"icinga:{url}"]),
        }
        if with_tls:
            ways["... over TLS"] = (number, ["--targets", file(number, "require")])
        found: dict[str, list[tuple[Cost, tuple[float, float, float]]]] = {way: [] for way in ways}
        first = [*plugin, *every]  # to have all in memory
        print(f"{number:,} databases are made", file=sys.stderr, flush=True)
        done = subprocess.run(first, stdout=subprocess.PIPE, text=True, env=environment, check=False)
        if done.returncode:
            raise SystemExit(done.stdout[:1000])
        for _ in range(rounds):
            for way, (_, options) in ways.items():
                with Watch(servers) as watch:
                    cost = run([[*plugin, *options]])
                found[way].append((cost, watch.found))
                print(f"{way}: {cost}, {watch.found}", file=sys.stderr, flush=True)
                for path in results.iterdir():
                    path.unlink()

    print(f"{number:,} databases with {JOBS} jobs each on {len(servers)} servers, PostgreSQL {version}, ", end="")
    print(f"{os.cpu_count()} cores; median of {rounds}")
    heads = ("CPU s", "CPU ms/target", "elapsed s", "peak MiB", "connections", "at one server", "servers' CPU s")
    print(f"{'':30}" + "".join(f"{head:>16}" for head in heads))
    costs = {}
    for way, (targets, _) in ways.items():
        cost = costs[way] = median([cost for cost, _ in found[way]])
        most, at_one, theirs = (statistics.median(row[i] for _, row in found[way]) for i in range(3))
        row = (cost.cpu, cost.cpu * 1000 / targets, cost.wall, cost.memory, most, at_one, theirs)
        print(f"{way:30}" + "".join(f"{n:>16.{d}f}" for n, d in zip(row, (2, 2, 1, 1, 0, 0, 1), strict=True)))
    few, some, many, *others = costs.values()
    for what, measured in ("CPU", attrgetter("cpu")), ("memory", attrgetter("memory")):
        ratios = f"{measured(some) / measured(few):.2f} times as much for 100 as for 10 targets, "
        print(f"{what}: {ratios}{measured(many) / measured(some):.2f} for {number:,} as for 100")
    print("CPU of the other ways, in that of the text:", *(f"{other.cpu / many.cpu:.2f}" for other in others))


def _fill(session: psycopg.Connection) -> None:
    """Configured jobs with some history."""
    session.execute(CONFIG.encode(), [JOBS])
    session.execute(HISTORY.encode(), [JOBS, RUNS])


def certify(folder: Path) -> Path:
    """A certificate for localhost, server.crt, and its key beside it."""
    file, key = folder / "server.crt", folder / "server.key"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *name]
    subprocess.run([*command, "-keyout", key, "-out", file], check=True, capture_output=True)
    return file


class _Accepts(http.server.BaseHTTPRequestHandler):
    """Accepts each result as Icinga does, over connections that stay open."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{"results": [{"code": 200, "status": "Successfully processed check result."}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def icinga(certificate: Path, key: Path) -> Iterator[str]:
    """The address of a stand-in for Icinga's API, which costs less than Icinga does: only our side of it is measured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Accepts) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()


class Watch:
    """Counts connections to the servers, and their processor time: `found` is the most of all, the most at one, and seconds."""

    def __init__(self, servers: list[Server]) -> None:
        self.ports = {f"{server.port:04X}" for server in servers}
        self.postmasters = [int((server.data / "postmaster.pid").read_text().split("\n")[0]) for server in servers]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._count)
        self.most = self.at_one = 0
        self.found = (0.0, 0.0, 0.0)

    def __enter__(self) -> "Watch":
        self.before = self._cpu()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.found = (self.most, self.at_one, self._cpu() - self.before)

    def _cpu(self) -> float:
        """Of the servers and of their backends that have ended."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.postmasters]
        return sum(int(ticks) for stat in stats for ticks in stat[11:15]) / TICK

    def _count(self) -> None:
        while not self.over.wait(0.02):
            open_ones = collections.Counter[str]()
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                _, _, remote, state, *_ = line.split(None, 4)
                port = remote.rpartition(":")[2]
                if port in self.ports and state in ("01", "02"):  # ESTABLISHED, SYN_SENT
                    open_ones[port] += 1
            self.most = max(self.most, open_ones.total())
            self.at_one = max(self.at_one, *open_ones.values(), 0)


if __name__ == "__main__":
    sys.exit(main())

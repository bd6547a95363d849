"""What autonomous logging costs: `python -m tests.benchmarks.logging`.

A logged job of four calls (add_job, add_step, update_step, close_job), each call a transaction of its own, from 1 and
from 8 clients, and one job with 1,000 steps; ours against a connection for each call and against no autonomy at all.
A server of its own with its default settings, fsync on; the links log in with their passwords (SCRAM), as on any server
that does not trust everybody on its machine, or without (--trust). The ways take turns, so that a busy machine hits all
alike; the medians and their ratios are printed. The driver is pgbench, which costs next to nothing itself.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from check_jobmon.demo.server import Server, wheel_binaries
from tests.database import Database, bootstrap

AUTHENTICATION = "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"

RIVALS = Path(__file__).with_name("rivals.sql")

JOB = """
SELECT {schema}.add_job('benchmark :client_id') AS job_id \\gset
SELECT {schema}.add_step(:job_id, 'a step') AS step_id \\gset
SELECT {schema}.update_step(:step_id, 'OK', '42 rows');
SELECT {schema}.close_job(:job_id);
"""

STEPS = 1000

BULK = f"""
DO $$
DECLARE
    v_job_id bigint := {{schema}}.add_job('benchmark bulk');
BEGIN
    FOR i IN 1 .. {STEPS} LOOP
        PERFORM {{schema}}.update_step({{schema}}.add_step(v_job_id, 'step ' || i), 'OK', '42 rows');
    END LOOP;
    PERFORM {{schema}}.close_job(v_job_id);
END
$$
"""


@dataclass(frozen=True)
class Way:
    """One way to log: its letter in the tables, what it is, the schema of its functions, the session's settings."""

    letter: str
    text: str
    schema: str
    settings: str = ""


EACH_CALL = Way("a", "a dblink connection for each call", "each_call")
OURS = Way("b", "ours as installed", "jobmon")
CLOSED = Way("c", "ours with jobmon.keep_link = off", "jobmon", "-c jobmon.keep_link=off")
NO_AUTONOMY = Way("d", "the same writes with no autonomy", "no_autonomy")
WAYS = (EACH_CALL, OURS, CLOSED, NO_AUTONOMY)


def main() -> int:
    """Measure and print; 0 if every target is reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.logging", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="how long each way has in each round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts (%(default)s)")
    parser.add_argument("--trust", action="store_true", help="let the links log in without a password")
    arguments = parser.parse_args()
    server = Server()
    try:
        server.create()
        if not arguments.trust:
            (server.data / "pg_hba.conf").write_text(AUTHENTICATION)
        server.start()
        database = Database(server, "postgres")
        with database.connect() as session:
            bootstrap(session, "jobmon")
            session.execute(RIVALS.read_bytes())
            way = "trust" if arguments.trust else "password"
            print(
                f"PostgreSQL {session.info.parameter_status('server_version')}, {os.cpu_count()} cores, links log in by {way}"
            )
        reached = [_jobs(database, clients, arguments.seconds, arguments.rounds) for clients in (1, 8)]
        reached.append(_bulk(database, arguments.rounds))
    finally:
        server.remove()
    return 0 if all(reached) else 1


def _jobs(database: Database, clients: int, seconds: int, rounds: int) -> bool:
    """Jobs of four calls."""
    found: dict[Way, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            found[way].append(pgbench(database, way, clients, seconds))
    rate = {way: statistics.median(rates) for way, rates in found.items()}
    print(f"\njobs of four calls, {clients} client{'s' if clients > 1 else ''}")
    print(f"  {'':36}{'jobs/s':>9}{'ms/job':>9}{'x a':>7}{'x d':>7}")
    for way in WAYS:
        print(
            f"  {way.letter} {way.text:34}{rate[way]:9.1f}{1000 * clients / rate[way]:9.2f}"
            f"{rate[way] / rate[EACH_CALL]:7.2f}{rate[way] / rate[NO_AUTONOMY]:7.2f}"
        )
    return all(
        [
            _target("b / a", rate[OURS] / rate[EACH_CALL], 10),
            _target("b / d", rate[OURS] / rate[NO_AUTONOMY], 0.6),
            _target("c / a", rate[CLOSED] / rate[EACH_CALL], 2.5),
        ]
    )


def _bulk(database: Database, rounds: int) -> bool:
    """One job with many steps, in one statement."""
    ways = (EACH_CALL, OURS, NO_AUTONOMY)
    found: dict[Way, list[float]] = {way: [] for way in ways}
    with database.connect() as session:
        for _ in range(rounds):
            for way in ways:
                found[way].append(_timed(session, BULK.format(schema=way.schema)))
    taken = {way: statistics.median(times) for way, times in found.items()}
    print(f"\none job with {STEPS:,} steps, 1 client")
    print(f"  {'':36}{'steps/s':>9}{'s/job':>9}{'x a':>7}")
    for way in ways:
        print(
            f"  {way.letter} {way.text:34}{STEPS / taken[way]:9.1f}{taken[way]:9.2f}{taken[EACH_CALL] / taken[way]:7.2f}"
        )
    return _target("b / a", taken[EACH_CALL] / taken[OURS], 8)


def _target(name: str, ratio: float, least: float) -> bool:
    print(f"  {name} = {ratio:.2f}, to reach: {least}: {'reached' if ratio >= least else 'NOT REACHED'}")
    sys.stdout.flush()
    return ratio >= least


def _timed(session: psycopg.Connection, statement: str) -> float:
    started = time.perf_counter()
    session.execute(statement.encode())
    return time.perf_counter() - started


def pgbench(database: Database, way: Way, clients: int, seconds: int) -> float:
    """Jobs a second."""
    script = database.server.folder / f"{way.letter}.sql"
    script.write_text(JOB.format(schema=way.schema))
    done = subprocess.run(
        [
            *(str(wheel_binaries() / "pgbench"), "--no-vacuum", "--client", str(clients), "--jobs", "1"),
            *("--time", str(seconds), "--file", str(script)),
            *("-h", str(database.server.folder), "-p", str(database.server.port), "-U", "postgres", database.name),
        ],
        capture_output=True,
        text=True,
        env={"PATH": os.environ.get("PATH", os.defpath), "PGOPTIONS": way.settings},
        check=False,
    )
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: ([1-9]\d*)", done.stdout, re.MULTILINE)
    if done.returncode or rate is None or failed:
        raise SystemExit(f"pgbench failed: {done.stdout}{done.stderr}")
    return float(rate.group(1))


if __name__ == "__main__":
    sys.exit(main())

"""What memory one check takes: `python -m tests.benchmarks.memory`.

One check of 5,000 configured jobs, as pip installs it on Debian's Python: all jobs well, then all failed with long messages.
A check is two processes, one that waits and one that checks. For each is printed the peak of its resident memory; their
sum, which counts twice what the two share; and the peak of their proportional memory (PSS), which counts it once. The
target is for the sum. A process of its own, smaller than what it measures, starts the check and looks on.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.installed import USER, checked_database, environments, python, superuser

JOBS = 5000
BOUND = 60
FAIL_ALL = """
INSERT INTO jobmon.job_check_log (job_id, job_name, alert_code)
SELECT max(job_id), job_name, 3 FROM jobmon.job_log GROUP BY job_name;
UPDATE jobmon.job_log
   SET status = 'CRITICAL'
 WHERE job_id IN (SELECT job_id FROM jobmon.job_check_log);
INSERT INTO jobmon.job_detail (job_id, step_id, action, start_time, end_time, elapsed_time, status, message)
SELECT job_id, nextval('jobmon.job_detail_step_id_seq'), 'load facts', now(), now(), 1, 'CRITICAL', repeat('no space left ', 20)
  FROM jobmon.job_check_log;
VACUUM ANALYZE;
"""
LOOK_ON = """
import json, os, sys, time

def figure(path, name):
    try:
        with open(path) as file:
            return next((int(line.split()[1]) for line in file if line.startswith(name)), 0)
    except OSError:
        return 0

pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
peak, shared = {}, 0
while True:
    done, status, usage = os.wait4(pid, os.WNOHANG)
    if done:
        break
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            pids = [pid, *map(int, file.read().split())]
    except OSError:
        continue
    for one in pids:
        peak[one] = max(peak.get(one, 0), figure(f"/proc/{one}/status", "VmHWM:"))
    shared = max(shared, sum(figure(f"/proc/{one}/smaps_rollup", "Pss:") for one in pids))
    time.sleep(0.002)
waiting = peak.pop(pid)
checking = max(usage.ru_maxrss, *peak.values())
print(json.dumps([os.waitstatus_to_exitcode(status), waiting, checking, shared]))
"""
"""Starts a command of two processes, looks at both, and prints its exit status, their peaks, and that of their PSS: KiB."""


def main() -> int:
    """Measure and print; 0 if the target is reached."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.memory", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the worst counts (%(default)s)")
    parser.add_argument("--python", default=python(), help="the interpreter for the plugin (%(default)s)")
    arguments = parser.parse_args()
    variants = {"[binary]": ["psycopg[binary]"], "Debian's": []}
    worst = 0.0
    with environments(arguments.python, variants) as installed, checked_database(JOBS) as (server, environment):
        print(f"{'peak resident memory, MiB':44}{'waiting':>9}{'checking':>10}{'sum':>8}{'PSS':>8}")
        connection = ["-H", "127.0.0.1", "-p", str(server.port), "-d", "postgres", "-U", USER, "-t", "60"]
        for state, expected in (("well", 0), ("failed", 2)):
            if state == "failed":
                with superuser(server) as session:
                    for statement in FAIL_ALL.split(";\n"):
                        session.execute(statement.encode())
            for variant, folder in installed.items():
                for options in ([], ["-vv"], ["-vv", "--max-output", "100000000"]):
                    command = [str(folder / "check_jobmon"), *connection, *options]
                    waiting, checking, shared = _peaks(command, environment, expected, arguments.rounds)
                    name = f"{JOBS:,} jobs {state}, {variant}, {' '.join(options) or 'no options'}"
                    print(f"{name:44}{waiting:9.1f}{checking:10.1f}{waiting + checking:8.1f}{shared:8.1f}")
                    sys.stdout.flush()
                    if not options:
                        worst = max(worst, waiting + checking)
    print(
        f"\nthe most without options = {worst:.1f} MiB, to reach: {BOUND}: {'reached' if worst < BOUND else 'NOT REACHED'}"
    )
    return 0 if worst < BOUND else 1


def _peaks(command: Sequence[str], environment: Mapping[str, str], expected: int, rounds: int) -> list[float]:
    """The worst peaks of some rounds, in MiB."""
    found = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-IS", "-c", LOOK_ON, *command],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        status, *peaks = json.loads(done.stdout)
        if status != expected:
            raise SystemExit(f"{Path(command[0]).name} ended with {status}, not {expected}: {done.stderr}")
        found.append(peaks)
    return [max(column) / 1024 for column in zip(*found, strict=True)]


if __name__ == "__main__":
    sys.exit(main())

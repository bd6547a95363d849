"""What one check costs the machine that runs it: `python -m tests.benchmarks.process`.

User and system CPU of a process with all that it starts, and the time on the clock: the plugin as pip installs it, on
Debian's Python, against the plugins in Debian's packages, which run SELECT ... FROM jobmon.check_job_status(); for scale
psql, check_pgsql, a Python that does nothing, and one that only connects with psycopg. One database with 20 jobs, all
well, over TCP with a password. All take turns, in another order in each round; medians, their
ratios and the least that each took are printed. Other work on the machine makes all of it cost more, but not alike.

Then each thing that the plugin does to be cheap is left out in turn. What was tried and did not pay:

- `-I` (isolated), a [c] or a pure Python psycopg in place of [binary]: no difference that can be told from noise, but that
  pure Python needs ctypes. Which psycopg is up to the user.
- importlib.util.LazyLoader: 3 ms. It runs a module as soon as a second one imports it, or at once for a name of it
  (`from json import dumps`). check_jobmon/plugin/lazy_imports.py does without it.
- connecting in another way (gssencmode, fewer SETs in a script): all of it takes 1.5 ms of CPU, both round trips 2.
- no fork: 5 ms, for pages that the two processes share until one writes to them. It is the price of a deadline that holds
  whatever hangs; the parent imports nothing that the child doesn't need.
- tuples in place of all small data classes: 0.25 ms each. Only some of those that every check needs became one.
- sys.setdlopenflags(RTLD_LAZY): nothing, the libraries below psycopg are linked to be bound at once.
- stand-ins for functions of base64, json, random, traceback and urllib.parse, which import their module once they are
  called: 139.7 ms with them, 142.0 without (first quartile of 60; the least of either is 132.1 and 130.4).
- stand-ins for classes (asyncio.Task, ZoneInfo): not done, since the next release of psycopg may do with one what only the
  class can do.
- Python 3.15's lazy imports (PEP 810): not measured, there was no such interpreter at hand.

What is left is psycopg's own: 85 modules whose code is read and run, two thirds of a check's CPU, among them all types that
it can adapt and its asynchronous half, for which it needs parts of asyncio; typing_extensions and by it inspect on Python
before 3.13; libpq and its libraries. psycopg has no documented way to import less of it.
"""

import argparse
import random
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.installed import USER, Spent, checked_database, environments, python, run

JOBS = 20
QUERY = "SELECT alert_code AS result FROM jobmon.check_job_status()"
PLUGINS = "/usr/lib/nagios/plugins"
RIVALS = {
    "check_postgres": "check-postgres",
    f"{PLUGINS}/check_pgactivity": "check-pgactivity",
    f"{PLUGINS}/check_pgsql": "monitoring-plugins-standard",
    "psql": "postgresql-client",
}
"""Programs, and Debian's packages that have them."""
VARIANTS = {"[binary]": ["psycopg[binary]"], "[c]": ["psycopg[c]"], "pure": ["psycopg"], "Debian's": []}
OURS = "check_jobmon, psycopg[binary]"
WITHOUT = {
    "nothing left out": "",
    "lazy imports": "cli.lazy_imports = contextlib.nullcontext",
    "no collecting of garbage": "gc.disable = lambda: None",
    "no tidying up at the end": "os._exit = lambda status: sys.exit(status) if os.getpid() == parent else leave(status)",
    "bytecode": "sys.pycache_prefix = '/nonexistent'; sys.dont_write_bytecode = True",
}
"""What makes a check cheap, and how to leave it out."""
DRIVER = """
import contextlib, gc, os, sys
parent, leave = os.getpid(), os._exit
{early}
from check_jobmon import __main__
from check_jobmon.plugin import cli
{late}
__main__.command()
"""


def main() -> int:
    """Measure and print; 0 if every target is reached."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.process", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=25, help="rounds, of which the median counts (%(default)s)")
    parser.add_argument("--python", default=python(), help="the interpreter for the plugin (%(default)s)")
    arguments = parser.parse_args()
    missing = [package for program, package in RIVALS.items() if not shutil.which(program)]
    if missing:
        raise SystemExit(f"rivals are missing: apt-get install --no-install-recommends {' '.join(missing)}")
    with environments(arguments.python, VARIANTS) as installed, checked_database(JOBS) as (server, environment):
        connection = ["-H", "127.0.0.1", "-p", str(server.port), "-d", "postgres", "-U", USER]
        medians = _turns(_contestants(installed, server.port, connection), environment, arguments.rounds)
        _print("", medians, "check_postgres")
        parts = _turns(_parts(installed["[binary]"], connection), environment, arguments.rounds)
        print()
        _print("check_jobmon, psycopg[binary], without", parts, "nothing left out")
    print()
    targets = [
        _target(f"CPU, {OURS} / {rival}", medians[OURS][0].cpu / medians[rival][0].cpu)
        for rival in ("check_postgres", "check_pgactivity")
    ]
    return 0 if all(targets) else 1


def _contestants(installed: Mapping[str, Path], port: int, connection: Sequence[str]) -> dict[str, list[str]]:
    """Commands by what they are called in the table."""
    connect = f"psycopg.connect('host=127.0.0.1 port={port} dbname=postgres user={USER}')"
    here = ["-h", "127.0.0.1", "-p", str(port), "-d", "postgres", "-U", USER]
    commands = {}
    for variant, folder in installed.items():
        psycopg = f"psycopg{variant}" if variant.startswith("[") else f"{variant} psycopg"
        commands[f"check_jobmon, {psycopg}"] = [str(folder / "check_jobmon"), *connection]
    commands["check_jobmon, psycopg[binary], -I"] = [
        *(str(installed["[binary]"] / "python"), "-I", str(installed["[binary]"] / "check_jobmon"), *connection)
    ]
    commands["check_postgres"] = [
        *("check_postgres", "--action=custom_query", "-H", "127.0.0.1", "-p", str(port), "-db", "postgres", "-u", USER),
        *("--query", QUERY, "--warning", "2", "--critical", "3"),
    ]
    commands["check_pgactivity"] = [
        *(f"{PLUGINS}/check_pgactivity", "-s", "custom_query", *here, "--query", QUERY, "-w", "2", "-c", "3")
    ]
    commands["psql"] = ["psql", "-XAt", *here, "-c", QUERY]
    commands["check_pgsql"] = [
        *(f"{PLUGINS}/check_pgsql", "-H", "127.0.0.1", "-P", str(port), "-d", "postgres", "-l", USER),
        *("-q", QUERY, "-W", "1", "-C", "2"),
    ]
    interpreter = str(installed["[binary]"] / "python")
    commands["Python, nothing"] = [interpreter, "-c", "pass"]
    commands["Python, psycopg[binary] imported"] = [interpreter, "-c", "import psycopg"]
    commands["Python, psycopg[binary] connected"] = [
        *(interpreter, "-c", f'import psycopg; {connect}.execute("{QUERY}").fetchall()')
    ]
    return commands


def _parts(folder: Path, connection: Sequence[str]) -> dict[str, list[str]]:
    """The plugin without one of the things that make it cheap."""
    commands = {}
    for part, patch in WITHOUT.items():
        early, late = (patch, "") if part == "bytecode" else ("", patch)
        commands[part] = [str(folder / "python"), "-c", DRIVER.format(early=early, late=late), *connection]
    return commands


def _turns(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], rounds: int
) -> dict[str, tuple[Spent, float]]:
    """Medians of all commands, run in turn, and the least CPU."""
    spent: dict[str, list[Spent]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name in random.sample(list(commands), len(commands)):
            one, status, said = run(commands[name], environment)
            if status:
                raise SystemExit(f"{name} ended with {status}: {said}")
            spent[name].append(one)
    return {
        name: (Spent(_median(runs, lambda s: s.cpu), _median(runs, lambda s: s.wall)), min(s.cpu for s in runs))
        for name, runs in spent.items()
    }


def _median(runs: Sequence[Spent], figure: Callable[[Spent], float]) -> float:
    return statistics.median(figure(one) for one in runs)


def _print(title: str, medians: Mapping[str, tuple[Spent, float]], measure: str) -> None:
    print(f"{title:44}{'CPU ms':>9}{'ratio':>8}{'least':>8}{'wall ms':>10}")
    whole = medians[measure][0].cpu
    for name, (spent, least) in medians.items():
        print(f"{name:44}{spent.cpu * 1000:9.1f}{spent.cpu / whole:8.2f}{least * 1000:8.1f}{spent.wall * 1000:10.1f}")
    sys.stdout.flush()


def _target(name: str, ratio: float) -> bool:
    print(f"{name} = {ratio:.2f}, to reach: 1: {'reached' if ratio <= 1 else 'NOT REACHED'}")
    return ratio <= 1


if __name__ == "__main__":
    sys.exit(main())

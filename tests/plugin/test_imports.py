"""What a check imports: every module that has run when the answer is known, held by a list, because each costs every check.

A module that isn't in the list is to be left out, or imported where it is needed, or deferred
(check_jobmon/plugin/lazy_imports.py); if
a check can't do without, it goes into the list.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.database import Database
from tests.plugin.test_cli import HOURLY, run_job

DRIVER = """
import json, os, sys
before, leave, file = set(sys.modules), os._exit, sys.argv.pop()

def tell(status):
    loaded = {name: module for name, module in sys.modules.items() if name not in before}
    ran = [name for name, module in loaded.items() if not deferred(module)]
    with open(file, "a") as out:
        print(json.dumps(ran), file=out)
    leave(status)

def deferred(module):
    return type(getattr(getattr(module, "__spec__", None), "loader", None)).__name__ == "_DeferredLoader"

os._exit = tell
from check_jobmon.__main__ import command
command()
"""
"""The plugin, as its console script runs it, but that each of its processes tells what it has imported when it ends."""
OURS = """
__main__ config config.connection_options config.hosts connection connection.errors connection.session connection.trust judging
judging.catalog judging.check judging.job judging.job_log judging.perfdata judging.result judging.selection plugin
plugin.check_one plugin.cli plugin.deadline plugin.lazy_imports plugin.options plugin.output schema schema.scripts
sql_files
text
"""
PACKAGES = {"cython_runtime", "nagiosplugin", "psycopg", "psycopg_binary", "psycopg_c", "typing_extensions"}
"""Other packages. What they have in them is their business."""
STANDARD = """
annotationlib argparse array ast asyncio.base_futures asyncio.base_tasks asyncio.constants asyncio.coroutines asyncio.events
asyncio.exceptions asyncio.format_helpers asyncio.futures asyncio.locks asyncio.log asyncio.mixins asyncio.queues asyncio.tasks
asyncio.threads asyncio.timeouts atexit base64 binascii bisect collections collections.abc concurrent concurrent.futures
concurrent.futures._base contextlib contextvars copy copyreg ctypes ctypes._endian ctypes.util dataclasses datetime decimal dis
enum errno fcntl fnmatch functools gc gettext glob grp heapq importlib importlib._bootstrap importlib._bootstrap_external
importlib.machinery inspect io ipaddress itertools json json.decoder json.encoder json.scanner keyword locale logging math
ntpath numbers opcode operator pathlib pathlib._abc pathlib._local pathlib._os pwd queue random re re._casefix re._compiler
re._constants re._parser reprlib resource select selectors signal socket sre_compile sre_constants sre_parse string
string.templatelib struct subprocess sysconfig threading token tokenize traceback types typing typing.io typing.re unicodedata
urllib urllib.parse warnings weakref zoneinfo zoneinfo._common zoneinfo._tzpath
"""
"""
The standard library's, on Python 3.10 to 3.14, but for its private ones (_socket, _decimal). Of asyncio that is not
`asyncio`, which would be all of it; ctypes is there for a psycopg in pure Python, inspect for typing_extensions, subprocess
and socket for the defaults of asyncio.events, sysconfig for zoneinfo.
"""


@pytest.fixture
def imported(database: Database, session: psycopg.Connection, tmp_path: Path) -> list[set[str]]:
    """The modules that ran in the processes of a check of two jobs, one of them failed."""
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl", "boom")
    run_job(session, "cube")
    python = os.environ.get("JOBMON_TEST_PYTHON", sys.executable)
    file = tmp_path / "imported"
    done = subprocess.run(
        [python, "-c", DRIVER, *database.options, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.stdout.startswith("JOBMON CRITICAL - 1 critical, 0 ok: ETL failed 1 time"), done
    assert (done.returncode, done.stderr) == (2, "")
    return [set(json.loads(line)) for line in file.read_text().splitlines()]


def test_a_check_imports_nothing_but_what_is_listed(imported: list[set[str]]) -> None:
    allowed = {"check_jobmon", *(f"check_jobmon.{name}" for name in OURS.split()), *STANDARD.split()}
    found = set().union(*imported)
    private = {name for name in found if name.startswith(("_", "encodings"))}
    added = {name for name in found - allowed - private if name.split(".")[0] not in PACKAGES}
    assert not added, f"a check now imports {', '.join(sorted(added))}: see the top of {__file__}"


def test_the_process_that_waits_imports_no_library(imported: list[set[str]]) -> None:
    child, parent = imported
    assert "psycopg" in child
    # argparse of Python 3.14 imports dataclasses, which the child needs anyway, for the colours of its help
    others = {"asyncio", "logging", "tempfile"} | ({"dataclasses"} if "_colorize" not in parent else set())
    assert not parent & (PACKAGES | others)


def test_of_what_is_listed_nothing_of_ours_is_stale(imported: list[set[str]]) -> None:
    assert {f"check_jobmon.{name}" for name in OURS.split()} == {
        name for name in set().union(*imported) if name.startswith("check_jobmon.")
    }

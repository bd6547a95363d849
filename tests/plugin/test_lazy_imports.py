"""Deferred modules are the real ones: whatever is asked of them, when and how, they give what they give elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from check_jobmon.plugin.lazy_imports import DEFERRED
from tests.database import Database


def _python(script: str, *arguments: str) -> str:
    """What a script prints, in an interpreter that has imported nothing yet."""
    done = subprocess.run(
        [os.environ.get("JOBMON_TEST_PYTHON", sys.executable), "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_names_of_asyncio_are_its_own() -> None:
    """What is given before asyncio has run is the same object as after."""
    script = """
import sys
from check_jobmon.plugin.lazy_imports import lazy_imports
with lazy_imports():
    import asyncio
early = {name: getattr(asyncio, name) for name in sys.argv[1:]}
print(hasattr(asyncio, "no_such_name"), hasattr(asyncio, "run"))
print([name for name in early if early[name] is not vars(asyncio)[name]])
"""
    assert _python(script, *DEFERRED["asyncio"]) == "False True\n[]\n"


FUNCTIONS = """
from check_jobmon.plugin.lazy_imports import lazy_imports
with lazy_imports():
    from base64 import b64decode, b64encode
    from json import dumps, loads
    from random import randint, shuffle
    from traceback import extract_stack
    from urllib.parse import quote_from_bytes
things = [1, 2, 3]
shuffle(things)
print(b64encode(b"a b"), b64decode("YSBi"), dumps({"a": [1]}, indent=1), loads("[1]"), sorted(things), randint(7, 7))
print(len(extract_stack()) > 0, quote_from_bytes(b"a b"))
import json
print(json.JSONDecodeError.__name__, json.loads("{}"))
"""


def test_functions_imported_by_psycopg_do_what_they_do() -> None:
    assert _python(FUNCTIONS) == (
        "b'YSBi' b'a b' {\n \"a\": [\n  1\n ]\n} [1] [1, 2, 3] 7\nTrue a%20b\nJSONDecodeError {}\n"
    )


@pytest.mark.parametrize("module", sorted(set(DEFERRED) - {"asyncio"}))
def test_a_deferred_module_is_whole(module: str) -> None:
    script = """
import importlib, subprocess, sys
from check_jobmon.plugin.lazy_imports import lazy_imports
with lazy_imports():
    deferred = importlib.import_module(sys.argv[1])
real = subprocess.run(
    [sys.executable, "-c", "import importlib, sys; print(*sorted(vars(importlib.import_module(sys.argv[1]))))", sys.argv[1]],
    capture_output=True, text=True).stdout.split()
hasattr(deferred, "no_such_name")
loader = deferred.__loader__
print(sorted(set(real) - set(vars(deferred))), deferred.__spec__.loader is loader, type(loader).__module__)
"""
    missing, _, rest = _python(script, module).partition("]")
    assert missing == "["
    assert rest.split() == ["True", "_frozen_importlib_external"]


def test_versions_are_told_as_always() -> None:
    script = """
from check_jobmon.plugin.lazy_imports import lazy_imports
with lazy_imports():
    import psycopg
    from importlib import metadata
early = [metadata.version(name) for name in ("psycopg", "nagiosplugin", "PyYAML")]
try:
    metadata.version("no-such-distribution")
except metadata.PackageNotFoundError as error:
    print(error)
print(psycopg.__version__ == early[0], early == [metadata.version(name) for name in ("psycopg", "nagiosplugin", "PyYAML")])
"""
    assert _python(script) == "No package metadata was found for no-such-distribution\nTrue True\n"


def test_psycopg_is_whole_with_its_asynchronous_half(database: Database) -> None:
    script = """
import sys
from check_jobmon.plugin.lazy_imports import lazy_imports
with lazy_imports():
    import psycopg
import asyncio
async def answer():
    async with await psycopg.AsyncConnection.connect(sys.argv[1]) as connection:
        cursor = await connection.execute("SELECT 42, %s::jsonb, now() - now()", ['{"a": 1}'])
        return await asyncio.wait_for(cursor.fetchone(), 30)
print(asyncio.run(answer()))
"""
    conninfo = " ".join(f"{name}={value}" for name, value in database.parameters.items())
    assert _python(script, conninfo) == "(42, {'a': 1}, datetime.timedelta(0))\n"

"""A package that is newer than the schema: what docs/reference/versions.rst promises of packages that are upgraded first."""

import pytest

from check_jobmon.schema.scripts import version
from tests.database import Database, run_module
from tests.schema.test_upgrade import install_version

READING = (
    ("status",),
    ("show",),
    ("like", "old"),
    ("failed",),
    ("running",),
    ("detail", "1"),
    ("history", "OLD"),
    ("silences",),
    ("config", "export"),
)


@pytest.mark.parametrize("number", range(2, version()))  # 1 had no thresholds
def test_the_plugin_and_what_only_reads_work_with_every_earlier_version(empty_database: Database, number: int) -> None:
    install_version(empty_database, number)
    done = empty_database.check()
    words = "JOBMON WARNING - 1 warning, 0 ok: OLD crashed: run 1, started "
    assert (done.stdout.startswith(words), done.status, done.stderr) == (True, 1, "")
    for command in READING:
        done = run_module("check_jobmon.ctl", *command, *empty_database.options)
        if command == ("silences",) and number < 8:
            lacks = 'jobmonctl silences: schema "jobmon" has no silences yet: run "jobmonctl bootstrap"\n'
            assert (done.status, done.stderr) == (1, lacks)
        else:
            assert (done.status, done.stderr) == (0, ""), (command, done)

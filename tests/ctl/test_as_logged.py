"""What is logged is what is shown: only what the reader of an output can't take is replaced there."""

import json
from typing import Any

import psycopg
import pytest

from tests.ctl.prompt import a_run, jobmonctl
from tests.database import Database
from tests.parsers import leaves_of
from tests.plugin.output.guidelines import parse
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.conftest import targets as targets
from tests.plugin.targets.test_checks import check

NAME = "A|B <C>  =>  D\u3000\u202eE"
NAME_SHOWN = "A|B <C>  =>  D\u3000E"
MESSAGE = "x | <y>  z\n\tnext \u202eleft\u202c \x1b[31mred"
MESSAGE_SHOWN = "x | <y>  z next left [31mred"
LISTS = [
    (path[0], [NAME] if any(not action.option_strings for action in parser._actions) else [])
    for path, parser in leaves_of("jobmonctl").items()
    if "--json" in parser._option_string_actions and path[0] != "like"  # whose argument is a regular expression
]


@pytest.fixture
def job(session: psycopg.Connection) -> None:
    """A run that failed and one under way, whose name, action and message have what outputs can't take."""
    a_run(session, NAME, ("load | <b>", "CRITICAL", MESSAGE), end="fail_job(%s)")
    a_run(session, NAME, ("load | <b>", "CRITICAL", MESSAGE), end="")
    session.execute("INSERT INTO jobmon.job_check_config VALUES (%s, '1 day', '2 days', true, 0)", [NAME])


def texts(found: Any) -> str:
    """All texts in what JSON gave."""
    if isinstance(found, (dict, list)):
        return "\n".join(texts(part) for part in (found.values() if isinstance(found, dict) else found))
    return str(found)


@pytest.mark.parametrize(("command", "arguments"), LISTS)
def test_every_list_shows_names_and_messages_as_they_were_logged(
    database: Database, job: None, command: str, arguments: list[str]
) -> None:
    assert len(LISTS) >= 6
    if command == "silences":
        with database.connect() as session:
            session.execute("SELECT jobmon.silence(%s, now() + interval '1 hour', %s)", [NAME, MESSAGE])
    raw = texts(json.loads(jobmonctl(database, command, *arguments, "--json").stdout))
    shown = jobmonctl(database, command, *arguments).stdout
    assert NAME in raw
    assert NAME_SHOWN in shown
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    if command == "silences":
        assert MESSAGE in raw
        assert MESSAGE_SHOWN in shown
    elif command != "history":
        assert f"load | <b>: {MESSAGE}" in raw or ("load | <b>\n" in raw and MESSAGE in raw)
        assert MESSAGE_SHOWN in shown


def test_the_plugin_replaces_the_bar_alone_and_its_json_nothing(
    database: Database, job: None, targets: Targets
) -> None:
    failed = f"{NAME_SHOWN} failed 1 time (load | <b>: {MESSAGE_SHOWN})"
    for verbosity in ([], ["-v"], ["-vv"]):
        parsed = parse(database.check(*verbosity).stdout)
        assert parsed.text == f"JOBMON CRITICAL - 1 critical, 0 ok: {failed}".replace("|", "¦")
        assert "|" not in "".join(parsed.long_output)
        assert MESSAGE_SHOWN.replace("|", "¦") in "".join(parsed.long_output)
    output = check("--targets", targets({"one": database.parameters}), "--output", "json")
    (result,) = json.loads(output.stdout)["results"]
    assert result["output"] == f"JOBMON CRITICAL - 1 critical, 0 ok: {failed}"
    (told,) = result["jobs"]
    assert (told["name"], told["reason"]) == (NAME, f"failed 1 time (load | <b>: {MESSAGE})")


def test_a_mistake_on_the_plugin_s_command_line_has_no_bar(database: Database) -> None:
    assert database.check("--failures", "a|<b>").first_line.startswith(
        "JOBMON UNKNOWN - argument --failures: 'a¦<b>' is not a number of failures"
    )

"""What holds for every command at the prompt: help, one line of error, the exit status, no matter what is installed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from check_jobmon.ctl import dispatch
from tests.ctl.prompt import SCRIPT, a_run, jobmonctl, on_terminal, refusal
from tests.database import Database

COMMANDS = {
    "status": [],
    "show": [],
    "like": ["etl"],
    "failed": [],
    "running": [],
    "detail": ["1"],
    "history": ["etl"],
    "report": ["-o", "-"],
    "cancel": ["-y", "1"],
    "clear": ["-y", "90 days"],
    "ack": ["-y", "etl"],
    "silence": ["etl", "2h", "-m", "why"],
    "silences": [],
    "unsilence": ["etl"],
}
every_command = pytest.mark.parametrize("command", COMMANDS)


def without_rich(folder: Path) -> dict[str, str]:
    """An environment in which there is no rich."""
    (folder / "rich.py").write_text("raise ImportError\n")
    return {"PYTHONPATH": str(folder)}


@every_command
def test_help_has_the_exit_status_and_an_example(database: Database, command: str) -> None:
    output = jobmonctl(database, command, "--help", COLUMNS="200")
    assert (output.status, output.stderr) == (0, "")
    assert "exit status:\n  0 " in output.stdout
    assert f"examples:\n  jobmonctl {command} -d etl" in output.stdout
    assert max(len(line) for line in output.stdout.splitlines()) <= 80


def test_the_texts_of_help_fit_the_terminal() -> None:
    texts = Path(dispatch.__file__).with_name("help").glob("*.txt")
    assert [(file.name, line) for file in texts for line in file.read_text().splitlines() if len(line) > 80] == []


@every_command
def test_a_refused_connection_is_one_line(database: Database, command: str) -> None:
    arguments = ["-H", "127.0.0.1", "-p", "1", *COMMANDS[command]]
    said = refusal(jobmonctl(database, command, *arguments))
    assert said.startswith(f"jobmonctl {command}: ")
    assert "see that the server runs" in said


@every_command
def test_a_missing_schema_is_one_line(empty_database: Database, command: str) -> None:
    name = empty_database.name
    assert refusal(jobmonctl(empty_database, command, *COMMANDS[command])) == (
        f'jobmonctl {command}: no jobmon schema in database "{name}" (looked for "jobmon"): '
        f'run "jobmonctl bootstrap -d {name}", or name it with --schema'
    )


@every_command
def test_a_role_without_rights_is_told_what_to_be_granted(
    database: Database, session: psycopg.Connection, command: str
) -> None:
    session.execute("DROP ROLE IF EXISTS prompt_nobody; CREATE ROLE prompt_nobody LOGIN")
    said = refusal(jobmonctl(database, command, "-U", "prompt_nobody", *COMMANDS[command]))
    role = "jobmon_admin" if command in ("ack", "cancel", "clear", "silence", "unsilence") else "jobmon_monitor"
    assert said.endswith(f"GRANT {role} TO that role, or name another role with -U")
    session.execute("DROP ROLE prompt_nobody")


@every_command
def test_wrong_arguments_are_one_line_and_status_2(database: Database, command: str) -> None:
    output = jobmonctl(database, command, *COMMANDS[command], "--nonsense")
    assert (output.status, output.stdout) == (2, "")
    assert output.stderr == "jobmonctl: unrecognized arguments: --nonsense (see jobmonctl --help)\n"


@pytest.mark.parametrize(
    ("command", "argument", "said"),
    [
        ("show", "-n0", "'0' is not a number of rows"),
        ("cancel", "etl", "'etl' is not a JOB_ID"),
        ("detail", "9" * 30, "is not a JOB_ID"),
        ("status", "--watch=0", "'0' is not a time"),
        ("history", "", "it is empty"),
    ],
)
def test_a_value_that_cannot_be_is_named(database: Database, command: str, argument: str, said: str) -> None:
    output = jobmonctl(database, command, argument)
    assert (output.status, output.stdout, output.stderr.count("\n")) == (2, "", 1)
    assert said in output.stderr


def test_a_password_on_the_command_line_is_refused(database: Database) -> None:
    said = refusal(jobmonctl(database, "show", "--conninfo", "password=secret"))
    assert "put it into ~/.pgpass" in said
    assert "secret" not in said


@pytest.mark.parametrize("command", ["show", "status", "failed", "history", "detail"])
def test_names_and_messages_do_nothing_to_the_terminal(
    database: Database, session: psycopg.Connection, tmp_path: Path, command: str
) -> None:
    evil = "\x1b]0;owned\x07[red]x[/red] \u202e\n[/]"
    job = a_run(session, evil, (evil, "CRITICAL", evil), end="fail_job(%s)")
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES (upper(%s), '1 day', '1 day', true, 0, '-infinity')", [evil]
    )
    arguments = {"detail": [str(job)], "history": [evil]}.get(command, [])
    outputs = [jobmonctl(database, command, *arguments).stdout]
    for environment in ({}, without_rich(tmp_path)):
        with on_terminal(database, command, *arguments, **environment) as terminal:
            assert terminal.end() == 0
            outputs.append(terminal.raw)
    for text in outputs:
        # a terminal's table may break the text into lines
        assert "]0;OWNED[RED]X[/RED][/]" in re.sub(r"\x1b\[[0-9;]*m|\s+", "", text).upper()
        assert not {"\x07", "\u202e"} & set(text)
        assert "\x1b]" not in text


def test_it_is_coloured_on_a_terminal_and_nowhere_else(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    a_run(session, "etl", end="fail_job(%s)")
    plain = jobmonctl(database, "show").stdout
    assert plain.isprintable() or plain.replace("\n", "").isprintable()
    seen = {}
    for name, environment in {
        "colour": {},
        "NO_COLOR": {"NO_COLOR": "1"},
        "no rich": without_rich(tmp_path),
    }.items():
        with on_terminal(database, "show", **environment) as terminal:
            assert terminal.end() == 0
            seen[name] = terminal
    assert re.search(r"\x1b\[1;31m[^\n\x1b]*CRITICAL", seen["colour"].raw)
    assert "\x1b[1;31m" not in seen["NO_COLOR"].raw
    assert seen["no rich"].raw.replace("\r", "") == plain
    for terminal in seen.values():
        assert terminal.text.split() == plain.split()


GIVE_ALL = """
import json, sys, traceback
from check_jobmon.ctl import dispatch
for words in json.loads(sys.argv[1]):
    print(*words, file=sys.stderr)
    try:
        dispatch.main(words)
    except Exception:
        traceback.print_exc()
print("rich" in sys.modules, "that was all", file=sys.stderr)
"""


def test_all_commands_are_there_without_rich(database: Database, tmp_path: Path) -> None:
    """One after the other in one process: an import that has failed is tried again by the next."""
    lines = [[command, *database.options, *arguments] for command, arguments in COMMANDS.items()]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", GIVE_ALL, json.dumps(lines)],
        env={**os.environ, **without_rich(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stderr.endswith("\nFalse that was all\n"), done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(database: Database, session: psycopg.Connection) -> None:
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'x', 'ETL', now(), now(), 'OK', 1 FROM generate_series(1, 5000)"
    )
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [SCRIPT, "show", *database.options, "-n", "5000"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    os.read(reading, 10)
    os.close(reading)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 1


def test_a_full_disk_is_one_line(database: Database) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [SCRIPT, "show", *database.options], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (
        1,
        "jobmonctl: No space left on device\n",
    )


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def completions(line: str) -> set[str]:
        answer = tmp_path / "answer"
        subprocess.run(
            [SCRIPT],
            env={
                **os.environ,
                "_ARGCOMPLETE": "1",
                "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
                "COMP_LINE": line,
                "COMP_POINT": str(len(line)),
                "_ARGCOMPLETE_IFS": "\n",
            },
            timeout=60,
            check=True,
        )
        return {word.strip() for word in answer.read_text().split("\n")}

    assert {"show", "cancel", "ack"} <= completions("jobmonctl ")
    assert "--watch" in completions("jobmonctl status --w")

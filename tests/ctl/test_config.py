"""jobmonctl config: what apply, diff and export make of the file and the table, on a real server."""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from check_jobmon.config.config_table import Change, ConfigTable, changes
from check_jobmon.config.durations import Duration, parse
from check_jobmon.config.job_fields import JobConfig
from tests.config.test_config_file import JOBS, NAMES
from tests.config.test_durations import DURATIONS
from tests.database import Database, Output, bootstrap, pinned, run_module, until, value
from tests.schema.test_upgrade import install_version

FILE = """\
defaults: {warn: 25h, error: 2d, sensitivity: 0}
jobs:
  Nightly ETL: {warn: 26h, error: 30h}
  CUBE REFRESH: {sensitivity: 2, active: false}
"""


def config(database: Database, action: str, *arguments: str, **environment: str) -> Output:
    """Run `jobmonctl config ACTION` on the database."""
    return run_module("check_jobmon.ctl", "config", action, *database.options, *arguments, **environment)


def rows(session: psycopg.Connection) -> list[JobConfig]:
    """The table, sorted by name."""
    with pinned(session) as ours, ours.transaction("READ ONLY"):
        return sorted(ConfigTable(ours, "jobmon").rows(), key=lambda job: job.name)


def fill(session: psycopg.Connection, *jobs: JobConfig) -> None:
    """Make the table just these."""
    session.execute("DELETE FROM jobmon.job_check_config")
    with pinned(session) as ours, ours.transaction():
        ConfigTable(ours, "jobmon").make([Change(job.name, None, job) for job in jobs])


def log(session: psycopg.Connection, *names: str) -> None:
    """Let each of the jobs have run."""
    for name in names:
        session.execute("SELECT jobmon.close_job(jobmon.add_job(%s))", [name])


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The file above."""
    path = tmp_path / "jobs.yml"
    path.write_text(FILE)
    return str(path)


@pytest.fixture
def where(database: Database) -> str:
    """How the last line names the place."""
    return f'schema "jobmon" of database "{database.name}"'


def test_apply_makes_the_table_what_the_file_says(
    database: Database, session: psycopg.Connection, file: str, where: str
) -> None:
    log(session, "nightly etl", "cube refresh")
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('OLD', '1 h', '2 h', true, 0, '-infinity')")
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('NIGHTLY ETL', '1 h', '30 h', true, 1, '-infinity')")
    output = config(database, "apply", file)
    assert output.stdout == (
        "+ CUBE REFRESH: warn 25h, error 2d, sensitivity 2, active false\n"
        "~ NIGHTLY ETL: warn 1h -> 26h, sensitivity 1 -> 0\n"
        "= OLD: kept, though the file does not name it (--prune removes it)\n"
        f"{where}: 1 added, 1 changed, 1 kept\n"
    )
    assert (output.status, output.stderr) == (0, "")
    assert rows(session) == [
        JobConfig("CUBE REFRESH", parse("25h"), parse("2d"), 2, False),
        JobConfig("NIGHTLY ETL", parse("26h"), parse("30h"), 0, True),
        JobConfig("OLD", parse("1h"), parse("2h"), 0, True),
    ]
    output = config(database, "apply", file, "--prune")
    assert output.stdout == f"- OLD: warn 1h, error 2h, sensitivity 0, active true\n{where}: 1 removed\n"
    assert [job.name for job in rows(session)] == ["CUBE REFRESH", "NIGHTLY ETL"]
    assert config(database, "apply", file) == Output(0, f"{where}: no difference\n", "")


@pytest.mark.parametrize("command", [["diff"], ["apply", "--dry-run"]], ids=" ".join)
def test_diff_says_what_apply_would_do_and_changes_nothing(
    database: Database, session: psycopg.Connection, file: str, where: str, command: list[str]
) -> None:
    log(session, "nightly etl", "cube refresh")
    old = JobConfig("OLD", parse("1h"), parse("2h"))
    fill(session, old)
    output = config(database, *command, file)
    assert output.stdout == (
        "+ CUBE REFRESH: warn 25h, error 2d, sensitivity 2, active false\n"
        "+ NIGHTLY ETL: warn 26h, error 30h, sensitivity 0, active true\n"
        "= OLD: kept, though the file does not name it (--prune removes it)\n"
        f"{where}: 2 added, 1 kept, if applied\n"
    )
    assert (output.status, output.stderr) == (1, "")
    assert rows(session) == [old]
    config(database, "apply", file)
    assert config(database, *command, file).status == 0
    assert config(database, *command, "--prune", file).status == 1


def test_diff_of_equal_intervals_of_different_parts_is_a_difference(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    log(session, "etl")
    fill(session, JobConfig("ETL", parse("1d"), parse("30d")))
    path = tmp_path / "jobs.yml"
    path.write_text("jobs: {ETL: {warn: 24h, error: 1mon}}")
    output = config(database, "diff", str(path))
    assert output.stdout.startswith("~ ETL: warn 1d -> 24h, error 30d -> 1mon\n")
    assert (output.status, output.stderr) == (1, "")


def test_a_name_that_no_run_was_logged_under_is_a_warning(
    database: Database, session: psycopg.Connection, file: str
) -> None:
    log(session, "nightly etl", "cube refrehs")
    for command in ("diff", "apply"):
        output = config(database, command, file)
        assert output.stderr == (
            f'{file}:4:3: warning: no run was ever logged under "CUBE REFRESH", but under "CUBE REFREHS"\n'
        )
    assert output.status == 0
    assert config(database, "check", file).status == 2  # check takes no database
    assert run_module("check_jobmon.ctl", "config", "check", file) == Output(0, f"{file}: 2 jobs, 0 hosts\n", "")


def test_names_are_capitalized_by_the_server(database: Database, session: psycopg.Connection, tmp_path: Path) -> None:
    names = ["straße", "ÿ", "ŉ", "été"]
    path = tmp_path / "jobs.yml"
    path.write_text("".join(["jobs:\n", *(f"  {name}: {{warn: 1h, error: 2h}}\n" for name in names)]))
    log(session, *names)
    assert config(database, "apply", str(path)).stderr == ""
    logged = value(session, 'SELECT array_agg(job_name ORDER BY job_name COLLATE "C") FROM jobmon.job_log')
    assert [job.name for job in rows(session)] == logged


def test_where_the_server_capitalizes_ascii_only_other_letters_make_two_jobs(
    empty_database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    session.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    ascii_database = Database(empty_database.server, "ascii")
    try:
        with ascii_database.connect(client_encoding="utf8") as ascii_session:
            bootstrap(ascii_session, "jobmon")
            path = tmp_path / "jobs.yml"
            path.write_text("defaults: {warn: 1h, error: 2h}\njobs: {a: , é: , É: }\n")
            assert config(ascii_database, "apply", str(path)).status == 0
            assert [job.name for job in rows(ascii_session)] == ["A", "É", "é"]
            assert config(ascii_database, "export").stdout.count("!exact") == 0
    finally:
        session.execute("DROP DATABASE ascii WITH (FORCE)")


def test_mistakes_are_said_all_at_once_and_nothing_is_changed(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.yml"
    path.write_text("jobs:\n  A: {warn: 1h, error: 2h}\n  a: {warn: 3h, error: 2h}\n  B: {}\n")
    mistakes = (
        f'{path}:3:3: duplicate job "a": "A" is in line 2 already\n'
        f'{path}:3:13: job "A": warn 3h is above error 2h\n'
        f'{path}:4:3: job "B" has no warn and no error, neither of its own nor from defaults\n'
    )
    assert config(database, "apply", str(path)) == Output(1, "", mistakes)
    assert config(database, "diff", str(path)) == Output(2, "", mistakes)
    assert config(database, "apply", "--dry-run", str(path)) == Output(2, "", mistakes)
    assert rows(session) == []


def test_a_file_that_does_not_speak_of_jobs_prunes_nothing(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    fill(session, JobConfig("ETL", parse("1h"), parse("2h")))
    path = tmp_path / "jobs.yml"
    path.write_text("")
    output = config(database, "apply", "--prune", str(path))
    reason = f'{path} has no "jobs:" (to say that there is no job, write "jobs: {{}}")'
    assert output == Output(1, "", f"jobmonctl config apply: {reason}\n")
    assert len(rows(session)) == 1
    path.write_text("jobs: {}")
    assert config(database, "apply", "--prune", str(path)).status == 0
    assert rows(session) == []


def test_a_failure_on_the_way_changes_nothing(database: Database, session: psycopg.Connection, file: str) -> None:
    session.execute("ALTER TABLE jobmon.job_check_config ADD CHECK (job_name <> 'NIGHTLY ETL')")
    output = config(database, "apply", file)
    assert (output.status, output.stdout, output.stderr.count("\n")) == (1, "", 1)
    assert output.stderr.startswith('jobmonctl config apply: new row for relation "job_check_config" violates check ')
    assert rows(session) == []


def test_an_apply_waits_for_another_and_readers_do_not(
    database: Database, session: psycopg.Connection, file: str
) -> None:
    log(session, "nightly etl", "cube refresh")
    with pinned(session) as other, contextlib.ExitStack() as transaction:
        transaction.enter_context(other.transaction())
        ConfigTable(other, "jobmon").lock()
        command = [sys.executable, "-m", "check_jobmon.ctl", "config", "apply", file, *database.options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobmonctl' AND wait_event_type = 'Lock'"
            until(lambda: value(session, waiting) == 1)
            assert rows(session) == []
            assert database.check().status == 0
            assert config(database, "diff", file).status == 1
            ConfigTable(other, "jobmon").make(changes([], [JobConfig("NIGHTLY ETL", parse("1h"), parse("30h"))], False))
            transaction.close()
            assert second.communicate(timeout=60)[0].startswith(
                "+ CUBE REFRESH: warn 25h, error 2d, sensitivity 2, active false\n~ NIGHTLY ETL: warn 1h -> 26h\n"
            )
            assert second.returncode == 0


def test_an_apply_that_is_interrupted_changes_nothing(
    database: Database, session: psycopg.Connection, file: str
) -> None:
    with pinned(session) as other, other.transaction():
        ConfigTable(other, "jobmon").lock()
        command = [sys.executable, "-m", "check_jobmon.ctl", "config", "apply", file, *database.options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as apply:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobmonctl' AND wait_event_type = 'Lock'"
            until(lambda: value(session, waiting) == 1)
            apply.send_signal(signal.SIGINT)
            assert apply.communicate(timeout=60) == ("", "jobmonctl: interrupted\n")
            assert apply.returncode == 1
    until(lambda: value(session, waiting) == 0)
    assert rows(session) == []


def test_the_log_need_not_be_readable_to_apply(database: Database, session: psycopg.Connection, file: str) -> None:
    session.execute("CREATE ROLE config_writer LOGIN")
    try:
        session.execute("GRANT USAGE ON SCHEMA jobmon TO config_writer")
        session.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON jobmon.job_check_config TO config_writer")
        output = config(database, "apply", file, "-U", "config_writer")
    finally:
        session.execute("DROP OWNED BY config_writer; DROP ROLE config_writer")
    assert output.status == 0
    assert output.stderr.startswith(
        f"{file}:1:1: warning: can't tell which jobs were ever logged: permission denied for "
    )
    assert len(rows(session)) == 2


def test_export_writes_what_differs_from_the_usual(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    assert config(database, "export").stdout.splitlines()[1:] == ["jobs: {}"]
    fill(
        session,
        JobConfig("NIGHTLY ETL", parse("26h"), parse("30h")),
        JobConfig("NO", parse("90m"), parse("1d 12h"), 2, False),
        JobConfig("not upper", parse("1mon"), parse("1mon 1us")),
    )
    text = (
        "# job_check_config, as written by: jobmonctl config export\n"
        "jobs:\n"
        "  NIGHTLY ETL: {warn: 26h, error: 30h}\n"
        '  "NO": {warn: 1h 30m, error: 1d 12h, sensitivity: 2, active: false}\n'
        '  !exact "not upper": {warn: 1mon, error: 1mon 0.000001s}\n'
    )
    assert config(database, "export") == Output(0, text, "")
    path = tmp_path / "new.yml"
    assert config(database, "export", str(path)) == Output(0, "", "")
    assert path.read_text() == text
    path.chmod(0o640)
    fill(session)
    assert config(database, "export", str(path)) == Output(0, "", "")
    assert path.read_text().endswith("jobs: {}\n")
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_export_does_not_replace_what_it_can_not_restore(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.yml"
    for text, reason in [
        ("hosts: {db: {}}", "has hosts, which an export has not: export to another file, and merge them"),
        (
            "nothing of ours",
            f"is there, and is no configuration ({path}:1:1: the file has to be a mapping (name: value), and this is a "
            "text): export to another file",
        ),
    ]:
        path.write_text(text)
        assert config(database, "export", str(path)) == Output(1, "", f"jobmonctl config export: {path} {reason}\n")
        assert path.read_text() == text
    missing = tmp_path / "missing" / "jobs.yml"
    reason = f"{missing} can't be written: No such file or directory"
    assert config(database, "export", str(missing)) == Output(1, "", f"jobmonctl config export: {reason}\n")


def test_export_says_what_apply_will_refuse(database: Database, session: psycopg.Connection) -> None:
    fill(session, JobConfig("ETL", parse("3h"), parse("2h")))
    output = config(database, "export")
    assert output.stdout.endswith("jobs:\n  ETL: {warn: 3h, error: 2h}\n")
    warning = "jobmonctl config export: warning: warn 3h of ETL is above error 2h: apply will refuse that\n"
    assert (output.status, output.stderr) == (1, warning)


def chained(jobs: list[JobConfig]) -> list[JobConfig]:
    """The same jobs, where those that are after another are after the one before them."""
    names = [job.name or None for job in jobs]
    return [replace(job, after=job.after and before) for job, before in zip(jobs, [None, *names], strict=False)]


TABLES = st.lists(JOBS, unique_by=lambda job: job.name, max_size=6).map(chained)


@given(TABLES, TABLES)
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example is five commands, so none is made smaller
)
def test_export_apply_export_is_a_fixed_point(
    database: Database,
    session: psycopg.Connection,
    tmp_path_factory: pytest.TempPathFactory,
    jobs: list[JobConfig],
    others: list[JobConfig],
) -> None:
    fill(session, *jobs)
    exported = config(database, "export")
    assert (exported.status, exported.stderr) == (0, "")
    path = tmp_path_factory.mktemp("export") / "jobs.yml"
    path.write_text(exported.stdout)
    assert config(database, "diff", "--prune", str(path)).status == 0
    fill(session, *others)
    applied = config(database, "apply", "--prune", str(path))
    assert applied.status == 0, applied.stderr
    assert rows(session) == sorted(jobs, key=lambda job: job.name)
    assert config(database, "export") == exported


@given(st.lists(st.tuples(NAMES, DURATIONS, DURATIONS), unique_by=lambda job: job[0], max_size=5))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_interval_is_stored_and_fetched_whole(
    session: psycopg.Connection, jobs: list[tuple[str, Duration, Duration]]
) -> None:
    table = [JobConfig(*job) for job in jobs]
    fill(session, *table)
    assert rows(session) == sorted(table, key=lambda job: job.name)


def test_the_file_may_come_by_standard_input(database: Database, session: psycopg.Connection, file: str) -> None:
    def apply(text: bytes) -> "subprocess.CompletedProcess[bytes]":
        command = [sys.executable, "-m", "check_jobmon.ctl", "config", "apply", "-", *database.options]
        return subprocess.run(command, input=text, capture_output=True, timeout=60, check=False)

    log(session, "nightly etl", "cube refresh")
    assert apply(FILE.encode()).returncode == 0
    assert len(rows(session)) == 2
    done = apply(b"jobs: {A: }")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        'standard input:1:8: job "A" has no warn and no error, neither of its own nor from defaults\n'
    )


def test_the_hosts_of_the_file_are_known_to_apply(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    log(session, "etl")
    server = database.server
    path = tmp_path / "jobs.yml"
    path.write_text(
        "jobs: {ETL: {warn: 1h, error: 2h}}\n"
        f"hosts: {{db: {{host: {server.folder}, port: {server.port}, dbname: {database.name}, user: postgres}}}}\n"
    )
    output = run_module("check_jobmon.ctl", "config", "apply", str(path), "-H", "db")
    assert (output.status, output.stderr) == (0, "")
    output = run_module("check_jobmon.ctl", "config", "export", "-H", "db", "--config", str(path))
    assert output.stdout.endswith("\n  ETL: {warn: 1h, error: 2h}\n")


def test_without_schema_or_right_or_server_it_is_said_in_one_line(
    empty_database: Database, database: Database, session: psycopg.Connection, file: str
) -> None:
    name = empty_database.name
    output = config(empty_database, "apply", file)
    assert output == Output(
        1,
        "",
        f'jobmonctl config apply: no jobmon schema in database "{name}" (looked for "jobmon"): run '
        f'"jobmonctl bootstrap -d {name}", or name it with --schema\n',
    )
    session.execute("CREATE ROLE config_stranger LOGIN")
    try:
        output = config(database, "export", "-U", "config_stranger")
        assert output.stderr.startswith(
            'jobmonctl config export: role "config_stranger" may not use schema "jobmon" of '
        )
        assert "GRANT jobmon_monitor TO that role" in output.stderr
        assert (output.status, output.stderr.count("\n")) == (1, 1)
    finally:
        session.execute("DROP ROLE config_stranger")
    output = config(database, "diff", file, "-d", "no such")
    assert output.stderr.endswith('database "no such" does not exist: correct -d and -U\n')
    assert (output.status, output.stderr.count("\n")) == (2, 1)


def test_a_reader_that_leaves_and_a_full_disk_make_no_traceback(
    database: Database, session: psycopg.Connection
) -> None:
    """Of more than Python keeps before it writes."""
    fill(session, *(JobConfig(f"JOB {number}", parse("1h"), parse("2h")) for number in range(1000)))
    command = [sys.executable, "-m", "check_jobmon.ctl", "config", "export", *database.options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as export:
        assert export.stdout is not None
        export.stdout.close()
        assert export.stderr is not None
        assert export.stderr.read() == "jobmonctl config export: standard output can't be written: Broken pipe\n"
        assert export.wait(timeout=60) == 1
    for action, file in (("export", "-"), ("check", os.devnull)):
        command = [sys.executable, "-m", "check_jobmon.ctl", "config", action, file]
        options = database.options if action == "export" else []
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [*command, *options], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
            )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.endswith(": No space left on device\n")


def test_a_file_that_is_not_there_is_said_in_one_line(database: Database) -> None:
    for action, status in (("apply", 1), ("diff", 2)):
        reason = "nosuch.yml can't be read: No such file or directory"
        expected = Output(status, "", f"jobmonctl config {action}: {reason}\n")
        assert config(database, action, "nosuch.yml") == expected
    reason = "/tmp can't be read: Is a directory, give the configuration file itself"
    expected = Output(2, "", f"jobmonctl config check: {reason}\n")
    assert run_module("check_jobmon.ctl", "config", "check", "/tmp") == expected


@pytest.mark.parametrize("action", ["apply", "diff", "export", "check"])
def test_help_has_an_example_and_the_exit_status_and_fits_80_columns(action: str) -> None:
    output = run_module("check_jobmon.ctl", "config", action, "--help", COLUMNS="80")
    assert (output.status, output.stderr) == (0, "")
    assert "exit status:\n  0 " in output.stdout
    assert f"example:\n  jobmonctl config {action} " in output.stdout
    assert max(len(line) for line in output.stdout.splitlines()) <= 80


def test_the_shell_completes_actions_and_options(tmp_path: Path) -> None:
    def completed(line: str) -> set[str]:
        answer = tmp_path / "completions"
        environment = {
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "_ARGCOMPLETE_IFS": "\n",
        }
        subprocess.run([Path(sys.executable).parent / "jobmonctl"], env=environment, timeout=60, check=False)
        return {word.strip() for word in answer.read_text().split("\n")}

    assert completed("jobmonctl config ") >= {"apply", "diff", "export", "check"}
    assert completed("jobmonctl config apply --pr") == {"--prune"}


CONTACTS = """\
defaults: {warn: 25h, error: 2d, owner: data team}
jobs:
  CUBE: {owner: ""}
  ETL:
    description: |
      Loads the facts.
      The report | needs them: "all" <of> them.
    runbook: https://wiki.example.com/etl?a=1&b=2#now
"""
URL = "https://wiki.example.com/etl?a=1&b=2#now"


def test_owner_description_and_runbook_go_from_the_file_into_the_alert_and_back(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.yml"
    path.write_text(CONTACTS)
    output = config(database, "apply", str(path))
    assert output.status == 0
    assert 'owner "data team", description "Loads the facts.' in output.stdout
    assert output.stdout.splitlines()[0] == "+ CUBE: warn 25h, error 2d, sensitivity 0, active true"
    assert config(database, "diff", str(path)).stdout.endswith(": no difference\n")
    exported = tmp_path / "exported.yml"
    exported.write_text(config(database, "export").stdout)
    assert config(database, "diff", str(exported)).stdout.endswith(": no difference\n")
    session.execute("SELECT jobmon.fail_job(jobmon.add_job('etl'))")
    output = database.check()
    assert output.first_line == f"JOBMON CRITICAL - 1 critical, 1 ok: ETL failed 1 time, runbook: {URL}"
    _, owner, description, runbook = output.long_output.splitlines()
    assert (owner, runbook) == ("    owner: data team", f"    runbook: {URL}")
    assert description.startswith("    description: Loads the facts. The report ")
    assert "wiki" not in output.perfdata
    assert "data team" in database.check("-v").long_output
    session.execute("SELECT jobmon.fail_job(jobmon.add_job('cube'))")
    assert "wiki" not in database.check().first_line, "two problems"
    path.write_text(CONTACTS.replace("data team", "").replace(URL, "http://wiki/"))
    output = config(database, "apply", str(path))
    assert output.stdout.startswith(f'~ ETL: owner "data team" -> none, runbook "{URL}" -> "http://wiki/"')


def test_apply_keeps_since_of_rows_that_it_does_not_add(
    database: Database, session: psycopg.Connection, file: str
) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('NIGHTLY ETL', '1 h', '30 h', true, 1, '2020-01-01')")
    assert config(database, "apply", file).status == 0
    query = "SELECT job_name, since = '2020-01-01', since > now() - interval '1 hour' FROM jobmon.job_check_config ORDER BY 1"
    assert session.execute(query).fetchall() == [("CUBE REFRESH", False, True), ("NIGHTLY ETL", True, False)]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "runbook",
            "the wiki",
            "runbook is a URL like https://wiki.example.com/etl, without blanks, quotes or a password",
        ),
        ("runbook", "javascript://x", "runbook is a URL like "),
        ("runbook", "https://me:secret@wiki/", "runbook is a URL like "),
        ("runbook", f"https://{'x' * 500}", "runbook has at most 500 characters, and this one has 508"),
        ("owner", '"a\\nb"', "owner is one line of text, and this is not"),
        ("owner", "[a, b]", 'owner of job "ETL" can\'t be a list'),
        ("description", '"\\e[31m"', "description is text without control characters, and this is not"),
    ],
)
def test_texts_that_are_none_are_mistakes_with_their_place(tmp_path: Path, key: str, value: str, said: str) -> None:
    path = tmp_path / "jobs.yml"
    path.write_text(f"jobs:\n  ETL:\n    warn: 1h\n    error: 2h\n    {key}: {value}\n")
    output = run_module("check_jobmon.ctl", "config", "check", str(path))
    assert output.stderr.startswith(f"{path}:5:{len(key) + 7}: {said}"), output
    assert (output.status, output.stderr.count("\n"), "secret" in output.stderr) == (1, 1, False)


def test_texts_need_columns_that_an_earlier_schema_has_not(empty_database: Database, tmp_path: Path) -> None:
    install_version(empty_database, 6)
    path = tmp_path / "jobs.yml"
    path.write_text("jobs: {ETL: {warn: 1h, error: 2h}}")
    assert config(empty_database, "apply", str(path)).status == 0
    for key, text in (("owner", "me"), ("schedule", '"@daily"'), ("slow", "3x"), ("escalate", "2")):
        path.write_text(f"jobs: {{ETL: {{warn: 1h, error: 2h, {key}: {text}}}}}")
        for action, status in (("apply", 1), ("diff", 2)):
            said = f'schema "jobmon" has no column for {key}, which job "ETL" has: run "jobmonctl bootstrap"'
            assert config(empty_database, action, str(path)) == Output(
                status, "", f"jobmonctl config {action}: {said}\n"
            )
    assert config(empty_database, "export").stdout.endswith("jobs:\n  ETL: {warn: 1h, error: 2h}\n")

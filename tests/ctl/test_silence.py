"""jobmonctl silence, silences, unsilence, and what the check makes of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.schema.scripts import tables
from tests.ctl.prompt import a_run, jobmonctl, refusal
from tests.database import Database, bootstrap, run_module, until, value

SILENCED = "JOBMON OK - 1 ok, 1 silenced: no alert, but NIGHTLY LOAD is silenced"
CRITICAL = "JOBMON CRITICAL - 1 critical, 0 ok: NIGHTLY LOAD failed 1 time (load: boom)"


@pytest.fixture
def failing(session: psycopg.Connection) -> psycopg.Connection:
    """A job that has failed, and alerts."""
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES ('NIGHTLY LOAD', '1 day', '2 days', true, 0, '-infinity')"
    )
    a_run(session, "nightly load", ("load", "CRITICAL", "boom"), end="fail_job(%s)")
    return session


@pytest.fixture
def anna(session: psycopg.Connection) -> Iterator[str]:
    """An administrator, whose name has to be quoted."""
    name = 'anna "o\'brien"'
    session.execute(psycopg.sql.SQL("CREATE ROLE {} LOGIN IN ROLE jobmon_admin").format(psycopg.sql.Identifier(name)))
    yield name
    session.execute(psycopg.sql.SQL("DROP ROLE {}").format(psycopg.sql.Identifier(name)))


def done(database: Database, command: str, *arguments: str, **environment: str) -> str:
    output = jobmonctl(database, command, *arguments, **environment)
    assert (output.status, output.stderr) == (0, ""), output
    return output.stdout


def times(text: str) -> str:
    """The text with TIME in place of each time."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d( [A-Z]{3,})?", "TIME", text)


def end_now(session: psycopg.Connection) -> None:
    """Let the silences be over, as if an hour had passed."""
    session.execute("UPDATE jobmon.job_silence SET starts = starts - interval '1 day', ends = now()")


def test_a_silenced_job_counts_as_ok_until_the_silence_is_over(
    database: Database, failing: psycopg.Connection, anna: str
) -> None:
    assert database.check().first_line == CRITICAL
    assert times(done(database, "silence", "-U", anna, "nightly *", "2h", "-m", "disk is being replaced")) == (
        "silenced NIGHTLY * until TIME (2h), id 1; 1 job matches now\n"
    )
    check = database.check("-v")
    assert (check.status, check.first_line) == (0, SILENCED)
    assert " ok=1 " in check.perfdata
    assert " silenced=1 waiting=0 " in check.perfdata
    why = f"failed 1 time (load: boom) and silenced until TIME by {anna}: disk is being replaced"
    assert times(check.long_output).splitlines()[-1].endswith(why)
    assert times(done(database, "status")).splitlines()[-1].endswith(why)
    assert value(failing, "SELECT c::text FROM jobmon.check_job_status() AS c") == '(1,"(All jobs run successfully)")'
    for without in (database.check("--no-silences"), database.check("-j", "nightly load", "--no-silences")):
        assert (without.status, without.first_line) == (2, CRITICAL)
        assert "silenced=0" in without.perfdata
    assert "CRITICAL" in done(database, "status", "--no-silences", "--problems").splitlines()[-1]
    end_now(failing)
    assert (database.check().status, database.check().first_line) == (2, CRITICAL)
    assert done(database, "silences") == "no job is silenced, and no silence is planned\n"
    assert re.search(
        rf"^ 1 +1 +NIGHTLY \* +over .* {re.escape(anna)} +disk", done(database, "silences", "--all"), re.MULTILINE
    )


def test_json_has_the_silence(database: Database, failing: psycopg.Connection) -> None:
    done(database, "silence", "*", "2h", "-m", "why")
    (judged,) = json.loads(database.check("--output", "json").stdout)["results"][0]["jobs"]
    assert (judged["state"], judged["silence"]["id"], judged["silence"]["by"], judged["silence"]["reason"]) == (
        0,
        1,
        "postgres",
        "why",
    )
    assert times(judged["silence"]["until"]) == "TIME"
    (judged,) = json.loads(database.check("--output", "json", "--no-silences").stdout)["results"][0]["jobs"]
    assert (judged["state"], judged["silence"]) == (2, None)
    (listed,) = json.loads(done(database, "silences", "--json"))
    iso = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    assert all(re.fullmatch(iso, listed.pop(name)) for name in ("starts", "ends", "created"))
    assert listed == {
        "silence_id": 1,
        "pattern": "*",
        "state": "in force",
        "jobs": 1,
        "until_next_run": False,
        "reason": "why",
        "created_by": "postgres",
        "ended": None,
        "ended_by": None,
    }


def test_a_silence_is_ended_by_its_pattern_or_id_and_stays_in_the_table(
    database: Database, failing: psycopg.Connection, anna: str
) -> None:
    for _ in range(2):
        done(database, "silence", "Nightly *", "2h", "-m", "one")
    done(database, "silence", "nightly load", "1d", "-m", "two")
    assert "until TIME (24h)" in times(done(database, "unsilence", "-U", anna, "3"))
    assert database.check().first_line == SILENCED
    assert times(done(database, "unsilence", "-U", anna, "nightly *")) == (
        "ended early: NIGHTLY * until TIME (2h), id 2\nended early: NIGHTLY * until TIME (2h), id 1\n"
    )
    assert database.check().first_line == CRITICAL
    assert failing.execute(
        "SELECT DISTINCT created_by, ended_by, ended <= now() FROM jobmon.job_silence"
    ).fetchall() == [("postgres", anna, True)]
    assert done(database, "silences", "--all").count(f"ended by {anna}") == 3
    for which, what in (
        ("nightly *", 'of "nightly *"'),
        ("3", "with the id 3"),
        ("99", "with the id 99"),
        ("x", 'of "x"'),
    ):
        assert refusal(jobmonctl(database, "unsilence", which)) == (
            f"jobmonctl unsilence: no silence {what} is in force or planned: jobmonctl silences lists those that are"
        )


def test_planned_maintenance_begins_at_its_time(database: Database, failing: psycopg.Connection) -> None:
    assert done(
        database, "silence", "*load", "--from", "tomorrow 18:00", "3h", "-m", "why", PGTZ="Asia/Kolkata"
    ).endswith(" 21:00 IST (3h), id 1; 1 job matches now\n")
    assert database.check().first_line == CRITICAL
    assert " planned " in done(database, "silences")
    failing.execute("UPDATE jobmon.job_silence SET starts = now(), ends = now() + interval '3 hours'")
    assert database.check().first_line == SILENCED


def test_the_zone_is_the_sessions(database: Database, failing: psycopg.Connection) -> None:
    zones = {"Europe/Berlin": "CET", "Asia/Kolkata": "IST", "UTC": "UTC"}
    for zone, name in zones.items():
        until_when = value(failing, "SELECT extract(year FROM now())::integer + 1")
        failing.execute("DELETE FROM jobmon.job_silence")
        said = done(
            database,
            "silence",
            "*",
            "--from",
            f"{until_when}-01-01 12:00",
            "--until",
            f"{until_when}-01-02 18:00",
            "-m",
            "x",
            PGTZ=zone,
        )
        assert f" until {until_when}-01-02 18:00 {name} (30h)," in said
        ends = value(failing, "SELECT (ends AT TIME ZONE %s)::text FROM jobmon.job_silence", zone)
        assert ends == f"{until_when}-01-02 18:00:00"


def test_a_pattern_may_be_of_jobs_that_do_not_exist_yet(database: Database, session: psycopg.Connection) -> None:
    assert times(done(database, "silence", "new *", "2h", "-j", "o[lm]d", "-m", "move")) == (
        "silenced NEW * until TIME (2h), id 1; no job matches now\nsilenced O[LM]D until TIME (2h), id 2; no job matches now\n"
    )
    assert value(session, "SELECT array_agg(DISTINCT pattern) FROM jobmon.job_silence") == ["NEW *", "O[LM]D"]
    for name in ("new job", "old", "other"):
        for _ in range(3):
            a_run(session, name, end="fail_job(%s)")
    check = database.check()
    assert check.first_line.startswith("JOBMON CRITICAL - 1 critical, 2 ok, 2 silenced: OTHER failed 3 times")


def test_until_the_next_run_is_until_one_that_began_later_is_over(
    database: Database, failing: psycopg.Connection
) -> None:
    with database.connect() as runner:
        early = a_run(runner, "nightly load", end="")
        assert times(done(database, "silence", "nightly load", "--until", "Next Run", "-m", "fixed")) == (
            "silenced NIGHTLY LOAD until its next run, at the latest TIME (90d), id 1; 1 job matches now\n"
        )
        runner.execute("SELECT jobmon.fail_job(%s)", [early])
        assert database.check().first_line == SILENCED
        late = a_run(runner, "nightly load", end="")
        assert database.check().first_line == SILENCED
        runner.execute("SELECT jobmon.fail_job(%s)", [late])
        assert database.check().first_line == CRITICAL.replace("1 time (load: boom)", "3 times")
        assert done(database, "silences") == "no job is silenced, and no silence is planned\n"
    done(database, "silence", "*", "3h", "--until", "next run", "-m", "one more")
    with database.connect() as runner:
        a_run(runner, "nightly load", end="")
        assert database.check().first_line == SILENCED
    until(lambda: "crashed" in done(database, "show", "-n", "1"))
    assert database.check().first_line.startswith("JOBMON CRITICAL - 1 critical, 0 ok: NIGHTLY LOAD failed 3 times")


def test_a_silenced_crash_does_not_alert(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as runner:
        a_run(runner, "etl", end="")
    until(lambda: "crashed" in done(database, "show", "-n", "1"))
    assert database.check("--crashed", "critical").status == 2
    done(database, "silence", "etl", "1h", "-m", "why")
    check = database.check("--crashed", "critical")
    assert (check.status, check.first_line) == (0, "JOBMON OK - 1 ok, 1 silenced: no alert, but ETL is silenced")
    assert "1 OK" in done(database, "status").splitlines()[0]
    assert value(session, "SELECT alert_text FROM jobmon.check_job_status()") == "(All jobs run successfully)"
    assert database.check("--crashed", "critical", "--no-silences").status == 2


def test_an_inactive_job_is_not_called_silenced(database: Database, failing: psycopg.Connection) -> None:
    failing.execute("UPDATE jobmon.job_check_config SET active = false")
    done(database, "silence", "*", "1h", "-m", "why")
    assert "silenced=0" in database.check().perfdata


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["etl", "-m", "x"], 2, "it needs an end: give a DURATION (2h), --until TIME or --until 'next run'"),
        (["-m", "x", "--until", "tomorrow"], 2, "it needs a PATTERN: the name of a job, or 'NIGHTLY *'"),
        (["etl", "2h"], 2, "the following arguments are required: -m/--reason"),
        (["etl", "2", "-m", "x"], 2, "'2' has no unit: write 2s, 2m, 2h or 2d"),
        (["-j", "etl", "2", "-m", "x"], 2, "'2' has no unit: write 2s, 2m, 2h or 2d"),
        (["etl", "2h", "-m", " "], 2, "it is empty"),
        (
            ["etl", "2h", "--until", "tomorrow", "-m", "x"],
            2,
            "DURATION and --until TIME are two ends: give one of them",
        ),
        (["etl", "91 days", "-m", "x"], 2, "91 days is more than 90 days"),
        (["etl", "infinity", "-m", "x"], 2, "infinity is more than 90 days"),
        (["etl", "0s", "-m", "x"], 1, "the silence would end at TIME, but start at TIME"),
        (["etl", "2h ago", "-m", "x"], 1, "the silence would end at TIME, but start at TIME"),
        (
            ["etl", "--until", "2h", "-m", "x"],
            1,
            'invalid input syntax for type timestamp with time zone: "2h": write a time as',
        ),
        (
            ["etl", "--until", "2020-13-01", "-m", "x"],
            1,
            'date/time field value out of range: "2020-13-01": write a time as',
        ),
        (["etl", "--until", "tomorrow mars/x", "-m", "x"], 1, 'time zone "mars/x" not recognized'),
        (["etl", "--until", "infinity", "-m", "x"], 1, "until infinity: it lasts 90 days at most"),
        (["etl", "--until", "2020-01-01", "-m", "x"], 1, "the silence would end at TIME, but start at TIME"),
        (
            ["etl", "1h", "--from", "yesterday", "-m", "x"],
            1,
            "the silence would have ended at TIME, and it is TIME now",
        ),
        (["etl", "1h", "--from", "infinity", "-m", "x"], 1, "can't last from infinity until infinity"),
        (["etl", "--until", "3000-01-01", "-m", "x"], 1, "but 90 days is the maximum"),
        (["e" * 501, "2h", "-m", "x"], 1, "a pattern has at most 500 characters, and this one has 501"),
        (["etl", "2h", "-m", "x" * 2001], 1, "a reason has at most 2000 characters, and this one has 2001"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    database: Database, session: psycopg.Connection, arguments: list[str], status: int, said: str
) -> None:
    output = jobmonctl(database, "silence", *arguments)
    assert (output.status, output.stdout, output.stderr.count("\n")) == (status, "", 1)
    assert said in times(output.stderr)
    assert value(session, "SELECT count(*) FROM jobmon.job_silence") == 0


def test_options_may_stand_between_the_pattern_and_the_duration(database: Database) -> None:
    for arguments in (["etl", "-m", "x", "2h"], ["-m", "x", "etl", "2h"], ["-j", "etl", "-m", "x", "2h"]):
        assert "silenced ETL until TIME (2h), id" in times(done(database, "silence", *arguments))


def test_an_older_schema_has_no_silences_and_is_checked_and_upgraded(empty_database: Database) -> None:
    with empty_database.connect() as session, session.transaction():
        session.execute("CREATE EXTENSION dblink; CREATE SCHEMA jobmon")
        session.execute(
            "CREATE TABLE jobmon.schema_version (version integer PRIMARY KEY, script text NOT NULL,"
            " package text NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
        )
        for script in tables("jobmon", "public")[:7]:
            session.execute(script.sql.encode())
            session.execute("INSERT INTO jobmon.schema_version VALUES (%s, %s, '0')", [script.number, script.name])
    check = empty_database.check("-v")
    assert check.status == 0
    assert "silence" not in check.long_output
    for command in (["silences"], ["unsilence", "1"], ["silence", "*", "1h", "-m", "x"]):
        said = refusal(jobmonctl(empty_database, *command))
        assert said.endswith('run "jobmonctl bootstrap"')
    with empty_database.connect() as session:
        bootstrap(session, "jobmon")
    assert "no job matches now" in done(empty_database, "silence", "[a-c]*", "1h", "-m", "x")


def test_a_role_that_may_not_read_silences_is_told_that_they_do_not_count(
    database: Database, failing: psycopg.Connection
) -> None:
    done(database, "silence", "*", "1h", "-m", "x")
    failing.execute(
        "CREATE ROLE half_reader LOGIN; GRANT USAGE ON SCHEMA jobmon TO half_reader; GRANT SELECT ON"
        " jobmon.job_log, jobmon.job_detail, jobmon.job_check_log, jobmon.job_check_config, jobmon.job_status_text TO half_reader"
    )
    try:
        check = database.check("-U", "half_reader", "-v")
        assert (check.status, check.first_line) == (2, CRITICAL)
        note = (
            "note: silences don't count, because the role may not read them: GRANT SELECT ON jobmon.job_silence TO it"
        )
        assert note in check.long_output
        assert "permission denied for table job_silence: GRANT jobmon_monitor TO that role" in refusal(
            jobmonctl(database, "silences", "-U", "half_reader")
        )
    finally:
        failing.execute("DROP OWNED BY half_reader; DROP ROLE half_reader")


def test_names_and_reasons_do_nothing_to_the_terminal_or_the_output(
    database: Database, failing: psycopg.Connection
) -> None:
    evil = "\x1b]0;owned\x07|\n'x' %s @schema@ [red]"
    assert "\x1b" not in done(database, "silence", "*", "1h", "-m", evil, "-j", evil)
    for text in (done(database, "silences"), database.check("-v").stdout, done(database, "unsilence", evil)):
        assert "\x1b" not in text
    assert database.check("-v").stdout.partition("\n")[0].count("|") == 1


def test_targets_show_silences(database: Database, failing: psycopg.Connection, tmp_path: Path) -> None:
    done(database, "silence", "*", "1h", "-m", "x")
    host = {
        "host": str(database.server.folder),
        "port": database.server.port,
        "dbname": database.name,
        "user": "postgres",
    }
    file = tmp_path / "targets.yml"
    file.write_text(json.dumps({"hosts": {"db7": host}}))
    for arguments, state in (([], 0), (["--no-silences"], 2)):
        output = run_module("check_jobmon", "--targets", str(file), "--output", "json", *arguments)
        (job,) = json.loads(output.stdout)["results"][0]["jobs"]
        assert (output.status, job["state"], bool(job["silence"])) == (state, state, not state)

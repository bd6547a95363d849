"""jobmonctl config: schedules, durations, and jobs after other jobs, from the file into the table and back."""

import re
from pathlib import Path

import psycopg
import pytest

from check_jobmon.config.config_table import COLUMNS
from check_jobmon.schema.scripts import version
from tests.ctl.test_config import config
from tests.database import Database, Output, run_module, value
from tests.schema.test_upgrade import install_version
from tests.test_readme import DOCS, literal_blocks

FILE = """\
defaults: {warn: 30m, error: 2h, timezone: Europe/Berlin}
jobs:
  NIGHTLY LOAD: {schedule: "30 2 * * mon-fri", slow: 1h or 3x, too_slow: 2h, fast: 10s, escalate: 3}
  Report: {schedule: "@daily", timezone: UTC, after: nightly load}
  it's "odd": {after: Report}
"""
EXPORTED = r"""# job_check_config, as written by: jobmonctl config export
jobs:
  "IT'S \"ODD\"": {warn: 30m, error: 2h, timezone: "Europe/Berlin", after: REPORT}
  NIGHTLY LOAD: {warn: 30m, error: 2h, schedule: "30 2 * * mon-fri", timezone: "Europe/Berlin", slow: 1h or 3x, too_slow: 2h, fast: 10s, escalate: 3}
  REPORT: {warn: 30m, error: 2h, schedule: "@daily", after: NIGHTLY LOAD}
"""  # noqa: E501


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file above."""
    path = tmp_path / "jobs.yml"
    path.write_text(FILE)
    return path


def test_the_calendar_goes_from_the_file_into_the_table_and_back(
    database: Database, session: psycopg.Connection, file: Path
) -> None:
    output = config(database, "apply", str(file))
    assert output.status == 0
    assert output.stdout.splitlines()[:3] == [
        '+ IT\'S "ODD": warn 30m, error 2h, sensitivity 0, active true, timezone "Europe/Berlin", after "REPORT"',
        '+ NIGHTLY LOAD: warn 30m, error 2h, sensitivity 0, active true, schedule "30 2 * * mon-fri", '
        'timezone "Europe/Berlin", slow 1h or 3x, too_slow 2h, fast 10s, escalate 3',
        '+ REPORT: warn 30m, error 2h, sensitivity 0, active true, schedule "@daily", after "NIGHTLY LOAD"',
    ]
    query = """
        SELECT schedule, timezone, warn_duration::text, slow_factor, error_duration::text, min_duration::text, depends_on,
               escalate, first_due IS NOT NULL
          FROM jobmon.job_check_config
         ORDER BY job_name
    """
    assert session.execute(query).fetchall() == [
        (None, "Europe/Berlin", None, None, None, None, "REPORT", None, False),
        ("30 2 * * mon-fri", "Europe/Berlin", "01:00:00", 3.0, "02:00:00", "00:00:10", None, 3, True),
        ("@daily", "UTC", None, None, None, None, "NIGHTLY LOAD", None, True),
    ]
    assert config(database, "export") == Output(0, EXPORTED, "")
    file.write_text(EXPORTED)
    assert config(database, "diff", str(file)).stdout.endswith(": no difference\n")
    file.write_text(
        EXPORTED.replace('"@daily"', '"0 8 * * *"').replace(', timezone: "Europe/Berlin", slow: 1h or', ", slow:")
    )
    assert config(database, "apply", str(file)).stdout.splitlines()[:2] == [
        '~ NIGHTLY LOAD: timezone "Europe/Berlin" -> "UTC", slow 1h or 3x -> 3x',
        '~ REPORT: schedule "@daily" -> "0 8 * * *"',
    ]


def test_the_files_of_the_page_are_applied_and_judged(
    database: Database, session: psycopg.Connection, file: Path
) -> None:
    blocks = [block for block in literal_blocks(DOCS / "calendar.rst") if re.match("(defaults|jobs):", block)]
    assert blocks
    for block in blocks:
        session.execute("DELETE FROM jobmon.job_check_config")
        file.write_text(block)
        assert config(database, "apply", str(file)).status == 0
        assert config(database, "diff", str(file)).status == 0
        assert database.check().first_line.startswith("JOBMON OK")


def test_every_column_that_people_may_write_is_kept_in_the_file(session: psycopg.Connection) -> None:
    columns = value(
        session,
        "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = 'jobmon.job_check_config'::regclass AND attnum > 0 AND NOT attisdropped",
    )
    assert sorted({*columns} - {"since", "first_due"}) == sorted(COLUMNS)


def test_what_the_server_does_not_understand_is_refused_where_it_is(
    database: Database, session: psycopg.Connection, file: Path
) -> None:
    file.write_text(
        "defaults: {warn: 30m, error: 2h, timezone: Europe/Belin}\n"
        "jobs:\n"
        '  A: {schedule: "61 * * * *"}\n'
        '  B: {schedule: "30 2 31 2 *", timezone: CET}\n'
        '  C: {schedule: "30 2 * * *", after: D}\n'
        '  "D\'s": {schedule: "@reboot", timezone: UTC}\n'
    )

    def said(schedule: str | None, timezone: str) -> str:
        answer = value(session, "SELECT jobmon.check_schedule(%s, %s)", schedule, timezone)
        assert answer
        with pytest.raises(psycopg.Error) as refused:
            session.execute(
                "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, schedule, timezone)"
                " VALUES ('X', '1 hour', '1 hour', %s, %s)",
                [schedule, timezone],
            )
        assert refused.value.diag.message_primary == answer, "SQL says the same"
        return str(answer)

    expected = (
        f"{file}:1:44: {said(None, 'Europe/Belin')}\n"
        f"{file}:3:17: {said('61 * * * *', 'UTC')}\n"
        f"{file}:4:17: {said('30 2 31 2 *', 'UTC')}\n"
        f"{file}:4:42: {said(None, 'CET')}\n"
        f'{file}:5:38: after: there is no job "D" in this file\n'
        f"{file}:6:21: {said('@reboot', 'UTC')}\n"
    )
    assert "Europe/Berlin" in expected
    assert config(database, "apply", str(file)) == Output(1, "", expected)
    assert config(database, "diff", str(file)) == Output(2, "", expected)
    assert value(session, "SELECT count(*) FROM jobmon.job_check_config") == 0
    file.write_text('jobs: {A: {warn: 30m, error: 2h, schedule: "61 * * * *"}}\n')
    assert run_module("check_jobmon.ctl", "config", "check", str(file)) == Output(
        0,
        f"{file}: 1 job, 0 hosts\n"
        f"only a server can check the schedules in full: jobmonctl config diff {file} -d DATABASE\n",
        "",
    )


def test_a_job_may_be_after_one_that_stays_in_the_table(
    database: Database, session: psycopg.Connection, file: Path
) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, depends_on)"
        " VALUES ('KEPT', '1h', '2h', NULL), ('B', '1h', '2h', 'A')"
    )
    file.write_text("jobs: {C: {warn: 1h, error: 2h, after: kept}}\n")
    assert config(database, "diff", str(file)).status == 1
    unknown = f'{file}:1:40: after: there is no job "KEPT" in this file\n'
    assert config(database, "diff", "--prune", str(file)) == Output(2, "", unknown)
    assert config(database, "apply", str(file)).status == 0
    file.write_text("jobs: {A: {warn: 1h, error: 2h, after: B}}\n")
    circle = f'{file}:1:40: after: a circle, in which no job waits: "A" after "B" after "A"\n'
    assert config(database, "apply", str(file)) == Output(1, "", circle)
    file.write_text("jobs: {A: {warn: 1h, error: 2h, after: X}}\n")
    unknown = f'{file}:1:40: after: there is no job "X" in this file or in the table\n'
    assert config(database, "apply", str(file)) == Output(1, "", unknown)


def test_export_says_which_dependencies_and_durations_apply_will_refuse(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, depends_on, min_duration, warn_duration)"
        " VALUES ('A', '1h', '2h', 'B', '1h', '1min'), ('B', '1h', '2h', 'A', NULL, NULL), ('C', '1h', '2h', 'c', NULL, NULL)"
    )
    output = config(database, "export")
    assert output.stdout.endswith('  C: {warn: 1h, error: 2h, active: false, after: !exact "c"}\n')
    assert output.stderr.splitlines() == [
        f"jobmonctl config export: warning: {what}: apply will refuse that"
        for what in (
            "fast 1h of A is above slow 1m",
            'A is after another: a circle, in which no job waits: "A" after "B" after "A"',
            'C is after another: there is no job "c" in the table',
        )
    ]
    assert output.status == 1


@pytest.mark.parametrize("number", [4, 7])
def test_an_upgrade_keeps_the_configuration(empty_database: Database, number: int, tmp_path: Path) -> None:
    install_version(empty_database, number)
    with empty_database.connect() as session:
        session.execute(
            "INSERT INTO jobmon.job_check_config VALUES ('A', '1 day', '30:00', true, 2), ('b', '1h', '2h', false, 0)"
        )
        before = config(empty_database, "export")
        assert before.stdout.endswith(
            '  A: {warn: 1d, error: 30h, sensitivity: 2}\n  !exact "b": {warn: 1h, error: 2h, active: false}\n'
        )
        assert empty_database.ctl("bootstrap").status == 0
        assert config(empty_database, "export") == before
        path = tmp_path / "jobs.yml"
        path.write_text(before.stdout.replace("{warn", '{schedule: "@daily", slow: 3x, warn'))
        assert config(empty_database, "apply", str(path)).status == 0
        after = config(empty_database, "export")
        path.write_text(after.stdout)
        assert config(empty_database, "diff", str(path)).status == 0
        assert value(session, "SELECT max(version) FROM jobmon.schema_version") == version()


@pytest.mark.parametrize("role", ["jobmon_read", "jobmon_monitor", "jobmon_admin"])
def test_every_role_that_may_diff_learns_of_wrong_schedules(
    database: Database, session: psycopg.Connection, file: Path, role: str
) -> None:
    session.execute(f"CREATE ROLE calendar_reader LOGIN IN ROLE {role}".encode())
    try:
        file.write_text('jobs: {A: {warn: 30m, error: 2h, schedule: "@reboot"}}\n')
        output = config(database, "diff", str(file), "-U", "calendar_reader")
        assert output.stderr.startswith(f"{file}:1:44: ")
        assert (output.status, output.stderr.count("\n")) == (2, 1)
    finally:
        session.execute("DROP ROLE calendar_reader")


@pytest.mark.parametrize(
    ("column", "written", "said"),
    [
        *(
            (name, written, f"{name} has to be a time that a run can take, such as '90 minutes', and this is {shown}")
            for name in ("warn_duration", "error_duration", "min_duration")
            for written, shown in (("0", "00:00:00"), ("-1 hour", "-01:00:00"), ("1 day -30 hours", "1 day -30:00:00"))
        ),
        ("slow_factor", "1", "slow_factor has to be more than 1, and at most 1000, and this is 1"),
        ("slow_factor", "-3", "slow_factor has to be more than 1, and at most 1000, and this is -3"),
        ("slow_factor", "NaN", "slow_factor has to be more than 1, and at most 1000, and this is NaN"),
        ("min_duration", "178000000 years", "min_duration has to be a time that a run can take"),
        ("slow_factor", "infinity", "slow_factor has to be more than 1, and at most 1000, and this is Infinity"),
        ("escalate", "0", "escalate has to be at least 1, and this is 0: NULL means never"),
        ("timezone", None, "timezone can't be NULL: write 'UTC', or leave it out"),
        ("timezone", "", 'time zone "" is not in pg_timezone_names'),
        ("schedule", "", 'the schedule "" is empty'),
        ("schedule", "infinity", 'the schedule "infinity" has 1 of the five fields'),
    ],
)
def test_nonsense_in_sql_is_refused_in_a_sentence(
    session: psycopg.Connection, column: str, written: str | None, said: str
) -> None:
    insert = "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold"
    session.execute(f"{insert}) VALUES ('A', '1h', '2h')".encode())
    for statement in (
        f"{insert}, {column}) VALUES ('B', '1h', '2h', %s)",
        f"UPDATE jobmon.job_check_config SET {column} = %s",
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            session.execute(statement.encode(), [written])
        assert (refused.value.diag.message_primary or "").startswith(said)


def test_infinite_durations_are_refused_in_a_sentence(session: psycopg.Connection) -> None:
    if session.info.server_version < 170000:
        pytest.skip("infinite intervals are new in PostgreSQL 17")
    for name in ("warn_duration", "error_duration", "min_duration"):
        for infinity in ("infinity", "-infinity"):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"^{name} has to be .* this is {infinity}"):
                session.execute(
                    "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, "
                    f"{name}) VALUES ('B', '1h', '2h', %s)".encode(),
                    [infinity],
                )

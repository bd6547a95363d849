"""A database that is not as the plugin needs it: no schema, half of one, no rights, rows that can't be right."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from tests.database import Database, bootstrap, value
from tests.plugin.faults.conftest import MISSING
from tests.plugin.faults.plugin import alert, gone, one_line

TABLES = ["job_log", "job_detail", "job_check_config", "job_check_log", "job_status_text"]
CONFIG = "INSERT INTO jobmon.job_check_config VALUES ('ETL', %s, %s, true, 0, '-infinity')"


def _again(database: Database) -> str:
    return f'run "jobmonctl bootstrap -d {database.name}", or name it with --schema'


def test_no_schema(empty_database: Database) -> None:
    text = f'no jobmon schema in database "{empty_database.name}" (looked for "jobmon"): {_again(empty_database)}'
    assert alert(*empty_database.options) == one_line(3, text)


def test_schema_without_a_job_log(empty_database: Database) -> None:
    with empty_database.connect() as session:
        session.execute("CREATE SCHEMA jobmon")
    output = alert(*empty_database.options)
    text = f'no jobmon schema in database "{empty_database.name}" ("jobmon" is there, but has no job log)'
    assert output == one_line(3, f"{text}: {_again(empty_database)}")


@pytest.mark.parametrize("table", TABLES)
def test_missing_table(database: Database, session: psycopg.Connection, table: str) -> None:
    session.execute(f"DROP TABLE jobmon.{table} CASCADE".encode())
    text = f'schema "jobmon" of database "{database.name}" lacks the table {table}: {_again(database)}'
    assert alert(*database.options) == one_line(3, text)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_view_in_place_of_a_table(database: Database, session: psycopg.Connection, table: str, kind: str) -> None:
    session.execute(f"ALTER TABLE jobmon.{table} RENAME TO other".encode())
    session.execute(f"CREATE {kind} jobmon.{table} AS SELECT * FROM jobmon.other".encode())
    text = f'jobmon.{table} in database "{database.name}" is not a table: put the table back, or {_again(database)}'
    assert alert(*database.options) == one_line(3, text)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("job_log", "end_time"),
        ("job_detail", "message"),
        ("job_check_config", "sensitivity"),
        ("job_check_log", "alert_code"),
    ],
)
def test_missing_column(database: Database, session: psycopg.Connection, table: str, column: str) -> None:
    session.execute(f"ALTER TABLE jobmon.{table} DROP COLUMN {column} CASCADE".encode())
    text = f'jobmon.{table} in database "{database.name}" lacks the column {column}: put it back, or {_again(database)}'
    assert alert(*database.options) == one_line(3, text)


def test_column_of_another_type(database: Database, session: psycopg.Connection) -> None:
    session.execute("ALTER TABLE jobmon.job_check_config ALTER warn_threshold TYPE text")
    output = alert(*database.options)
    assert re.fullmatch(
        rf'JOBMON UNKNOWN - jobmon.job_check_config in database "{database.name}" is not read: its column warn_threshold is '
        r"text, not interval: put the table back\n",
        output.stdout,
    )
    assert output.status == 3


@pytest.mark.parametrize("table", TABLES)
def test_no_right_to_read_a_table(database: Database, session: psycopg.Connection, role: str, table: str) -> None:
    session.execute(f"REVOKE SELECT ON jobmon.{table} FROM {role}".encode())
    text = (
        f'role "{role}" may not read jobmon.{table} in database "{database.name}": '
        "GRANT jobmon_monitor TO that role, or SELECT on the table"
    )
    assert alert(*database.options, "-U", role) == one_line(3, text)


def test_no_right_to_use_the_schema(database: Database, session: psycopg.Connection, role: str) -> None:
    session.execute(f"REVOKE USAGE ON SCHEMA jobmon FROM {role}".encode())
    text = (
        f'role "{role}" may not use schema "jobmon" of database "{database.name}": '
        "GRANT jobmon_monitor TO that role, or name another role with -U"
    )
    assert alert(*database.options, "-U", role) == one_line(3, text)


def test_right_to_read_some_columns_only(database: Database, session: psycopg.Connection, role: str) -> None:
    session.execute(f"REVOKE SELECT ON jobmon.job_log FROM {role}".encode())
    session.execute(f"GRANT SELECT (job_id, job_name) ON jobmon.job_log TO {role}".encode())
    output = alert(*database.options, "-U", role)
    assert output == one_line(
        3,
        f'role "{role}" may not read the job log in database "{database.name}" (permission denied for table job_log): '
        "GRANT jobmon_monitor TO that role, or name another role with -U",
    )


@pytest.mark.parametrize("table", TABLES)
def test_rows_hidden_by_row_level_security(
    database: Database, session: psycopg.Connection, role: str, missing: str, table: str
) -> None:
    """Without a policy for the role it sees an empty table, of which all would be well."""
    session.execute(f"ALTER TABLE jobmon.{table} ENABLE ROW LEVEL SECURITY".encode())
    text = (
        f'row-level security hides rows of jobmon.{table} in database "{database.name}" from role "{role}", '
        "so the check would miss jobs: ALTER ROLE that role BYPASSRLS, or name another role with -U"
    )
    assert alert(*database.options, "-U", role) == one_line(3, text)
    session.execute(f"ALTER ROLE {role} BYPASSRLS".encode())
    assert alert(*database.options, "-U", role).first_line == missing


EMPTYINGS = {
    "no rows": "TRUNCATE jobmon.job_status_text",
    "no row for warnings": "DELETE FROM jobmon.job_status_text WHERE alert_code = 2",
    "NULL text": "UPDATE jobmon.job_status_text SET alert_text = NULL, error_text = NULL WHERE alert_code = 2",
    "NULL code": "UPDATE jobmon.job_status_text SET alert_code = NULL, error_code = NULL WHERE alert_code = 2",
    "all NULL": "UPDATE jobmon.job_status_text SET (alert_code, error_code, alert_text, error_text) = ROW()",
    "blank text": "UPDATE jobmon.job_status_text SET alert_text = ' ', error_text = ' ' WHERE alert_code = 2",
    "invisible text": "UPDATE jobmon.job_status_text SET alert_text = E'\\u200F\\x01' WHERE alert_code = 2",
}


@pytest.mark.parametrize("emptying", EMPTYINGS)
def test_no_word_for_an_alert_code(database: Database, session: psycopg.Connection, emptying: str) -> None:
    session.execute("ALTER TABLE jobmon.job_status_text DROP CONSTRAINT job_status_text_pkey")
    session.execute("ALTER TABLE jobmon.job_status_text DISABLE TRIGGER ALL")
    for column in ("alert_code", "alert_text", "error_code", "error_text"):
        session.execute(f"ALTER TABLE jobmon.job_status_text ALTER {column} DROP NOT NULL".encode())
    session.execute(EMPTYINGS[emptying].replace("ROW()", "ROW(NULL, NULL, NULL, NULL)").encode())
    code = 1 if emptying in ("no rows", "all NULL") else 2
    text = (
        f'jobmon.job_status_text in database "{database.name}" has no text for alert code {code}: '
        "the codes are 1 OK, 2 WARNING, 3 CRITICAL, put the row back"
    )
    assert alert(*database.options) == one_line(3, text)


AGO = "missing, last run 26h ago"
THRESHOLDS = [
    ("negative", "-1 hour", "-2 hours", 2, f"{AGO} (critical -2h)"),
    ("zero", "0", "0", 2, f"{AGO} (critical 0s)"),
    ("negative warning only", "-1 hour", "1 month", 1, f"{AGO} (warning -1h)"),
    ("month-long", "1 month", "2 months", 0, ""),
    ("beyond all times", "178000000 years", "178000000 years", 0, ""),
    ("beyond all times, backwards", "-178000000 years", "-178000000 years", 2, AGO),
    ("error before warning", "2 days", "1 hour", 2, f"{AGO} (critical 1h)"),
    ("NULL", None, None, 0, ""),
    ("NULL for critical", "1 hour", None, 1, f"{AGO} (warning 1h)"),
    ("NULL for warning", None, "1 hour", 2, f"{AGO} (critical 1h)"),
]


@pytest.mark.parametrize(
    ("warn", "error", "status", "text"), [t[1:] for t in THRESHOLDS], ids=[t[0] for t in THRESHOLDS]
)
def test_threshold_of_any_kind(
    database: Database,
    session: psycopg.Connection,
    missing: str,
    warn: str | None,
    error: str | None,
    status: int,
    text: str,
) -> None:
    session.execute("ALTER TABLE jobmon.job_check_config ALTER warn_threshold DROP NOT NULL")
    session.execute("ALTER TABLE jobmon.job_check_config ALTER error_threshold DROP NOT NULL")
    session.execute("UPDATE jobmon.job_check_config SET warn_threshold = %s, error_threshold = %s", [warn, error])
    output = database.check()
    state = ("OK", "WARNING", "CRITICAL")[status]
    count = f"1 {state.lower()}, 0 ok: ETL {text}" if status else "1 ok: all jobs run successfully"
    assert output.first_line.startswith(f"JOBMON {state} - {count}")
    assert (output.status, output.stderr) == (status, "")
    assert ("not positive, so it is always past" in output.first_line) == ("-" in f"{warn}" or warn == "0")
    assert not re.search(r"inf|nan|e\+", output.perfdata)


@pytest.mark.parametrize(("threshold", "status"), [("infinity", 0), ("-infinity", 2)])
def test_infinite_threshold(
    database: Database, session: psycopg.Connection, version: int, missing: str, threshold: str, status: int
) -> None:
    if version < 17:
        pytest.skip("infinite intervals are new in PostgreSQL 17")
    session.execute("UPDATE jobmon.job_check_config SET warn_threshold = %s, error_threshold = %s", [threshold] * 2)
    output = database.check()
    assert (output.status, output.stderr) == (status, "")
    assert not re.search(r"inf|nan", output.perfdata)


def test_never_run_job_without_thresholds_alerts(database: Database, session: psycopg.Connection) -> None:
    session.execute("ALTER TABLE jobmon.job_check_config ALTER warn_threshold DROP NOT NULL")
    session.execute("ALTER TABLE jobmon.job_check_config ALTER error_threshold DROP NOT NULL")
    session.execute(CONFIG, [None, None])
    output = alert(*database.options)
    assert output.first_line == "JOBMON CRITICAL - 1 critical, 0 ok: ETL missing, no run has ever completed"
    assert output.status == 2


def test_times_that_can_t_be(database: Database, session: psycopg.Connection, missing: str) -> None:
    """A server's clock that was wrong has logged a run in the future, or long ago."""
    for end, status in (("2999-01-01", 0), ("4713-01-01 BC", 2)):
        session.execute("UPDATE jobmon.job_log SET end_time = %s", [end])
        output = database.check("-v")
        assert output.status == status, end
        assert output.stderr == ""
        assert "a bug" not in output.stdout
        assert not re.search(r"inf|nan|-\d", output.perfdata)


@pytest.fixture
def ascii_database(empty_database: Database) -> Iterator[Database]:
    """A database whose texts have no encoding, with the schema."""
    name = f"{empty_database.name}_ascii"
    with empty_database.connect() as session:
        session.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'".encode())
        database = Database(empty_database.server, name)
        with database.connect(client_encoding="utf8") as other:
            bootstrap(other, "jobmon")
        yield database
        session.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_bytes_that_are_no_text(ascii_database: Database) -> None:
    with ascii_database.connect() as session:
        job = "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        session.execute(f"{job} VALUES ('me', E'CAF\\xC9', now(), now(), E'\\xFE', 0)".encode())
        session.execute("INSERT INTO jobmon.job_detail SELECT job_id, 1, E'\\xE9tape', now() FROM jobmon.job_log")
        session.execute("UPDATE jobmon.job_detail SET message = E'\\xA0\\xFF', status = E'\\xC3'")
        session.execute("INSERT INTO jobmon.job_check_log SELECT job_id, job_name, 3 FROM jobmon.job_log")
        session.execute(
            "INSERT INTO jobmon.job_check_config VALUES (E'CAF\\xC9', '1 hour', '2 hours', true, 0, '-infinity')"
        )
        session.execute("UPDATE jobmon.job_status_text SET alert_text = E'KRITISCH\\xDC' WHERE alert_code = 3")
        output = alert(*ascii_database.options, "-vv")
        gone(session)
    assert output.first_line == "JOBMON KRITISCH� - 1 kritisch�, 0 ok: CAF� failed 1 time (�tape: ��)"
    assert output.status == 2


def test_check_is_the_same_for_a_role_with_no_more_rights_than_it_needs(
    database: Database, missing: str, role: str
) -> None:
    output = alert(*database.options, "-U", role)
    assert (output.first_line, output.status) == (MISSING, 2)


@pytest.fixture
def c_database(empty_database: Database) -> Iterator[Database]:
    """A database whose locale knows no letters but those of ASCII, with the schema."""
    name = f"{empty_database.name}_c"
    with empty_database.connect() as session:
        session.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'".encode())
        database = Database(empty_database.server, name)
        with database.connect() as other:
            bootstrap(other, "jobmon")
        yield database
        session.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


NAMES = ("nächtlich", "straße", "ﬁlter", "ŉ", "ǆ", "ı")


@pytest.mark.parametrize("place", ["database", "c_database"])
def test_a_name_as_the_server_capitalizes_it_is_upper_case(place: str, request: pytest.FixtureRequest) -> None:
    """As it is logged, and not as it is written."""
    database: Database = request.getfixturevalue(place)
    each = {option: [word for name in NAMES for word in (option, name)] for option in ("-j", "-x")}
    with database.connect() as session:
        for name in NAMES:
            session.execute("SELECT jobmon.fail_job(jobmon.add_job(%s))", [name])
        session.execute(
            "INSERT INTO jobmon.job_check_config SELECT job_name, '1 day', '2 days', true, 0, '-infinity' FROM jobmon.job_log"
        )
        said = [database.check("-v").stdout, database.check("-v", *each["-j"]).stdout, database.ctl("status").stdout]
        said.append(value(session, "SELECT alert_text FROM jobmon.check_job_status()"))
        logged = [name for (name,) in session.execute("SELECT job_name FROM jobmon.job_log")]
        assert len(logged) == len(NAMES)
        for text in said:
            assert "not upper case" not in text
            assert [name for name in logged if not re.search(f"{name}[^,;\n]*failed 1 time", text)] == [], text
        session.execute("INSERT INTO jobmon.job_check_config VALUES ('Etl', '0', '2 days', true, 0, '-infinity')")
        assert "not upper case" in database.check(*each["-x"]).stdout

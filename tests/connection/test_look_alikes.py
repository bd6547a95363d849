"""Functions, types and operators of the names that our SQL uses, where a session might look first: none of them ever runs.

The victim is a superuser with a healthy job log. The attacker may create in `public` and in a schema named like the
superuser's role, and has made the settings of database and role say that these come first.
"""

import contextlib
import importlib.resources
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.ctl import dispatch
from check_jobmon.demo.server import Server
from check_jobmon.plugin import cli
from tests.database import Database, new_database, pinned, run_module, value
from tests.parsers import command_lines, commands, leaves_of, nearly_all_have

NEARBY = {
    "bigint": ("integer", "smallint", "numeric", "text"),
    "integer": ("bigint", "smallint", "numeric", "text"),
    "smallint": ("integer", "bigint"),
    "numeric": ("integer", "bigint", "double precision"),
    "double precision": ("numeric", "integer"),
    "text": ("name", "character varying", "text"),
    "name": ("text", "name"),
    "oid": ("regclass", "bigint", "integer"),
    "regclass": ("oid", "text"),
    "interval": ("text",),
    "timestamp with time zone": ("timestamp", "date", "text"),
    "jsonb": ("json", "text"),
    "anyelement": ("text", "bigint"),
    "anyarray": ("text[]", "bigint[]", "integer[]", "oid[]"),
    "anycompatiblearray": ("text[]", "bigint[]"),
    '"any"': ("text", "bigint", "name"),
    '"char"': ("text",),
    "bytea": ("text", "bytea"),
}
"""By the type of an argument, the types for which a look-alike would be preferred, or as good."""

TRAPS = """
DO $do$
DECLARE
    r         record;
    v_schema  text;
    v_result  text;
    v_made    integer := 0;
BEGIN
    FOR r IN SELECT DISTINCT p.proname, c.arguments, p.proretset,
                    CASE WHEN t.typtype = 'p' THEN 'text' ELSE format_type(t.oid, NULL) END AS result
               FROM pg_proc AS p
               JOIN pg_type AS t ON t.oid = p.prorettype
               JOIN trap_call AS c ON c.oid = p.oid
    LOOP
        FOREACH v_schema IN ARRAY ARRAY['public', 'postgres'] LOOP
            BEGIN
                EXECUTE format('CREATE FUNCTION %I.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS '
                               '$$BEGIN RAISE LOG ''trapped: %s(%s)''; RETURN%s; END$$',
                               v_schema, r.proname, r.arguments, CASE WHEN r.proretset THEN 'SETOF' ELSE '' END, r.result,
                               r.proname, replace(r.arguments, '%', ''), CASE WHEN r.proretset THEN '' ELSE ' NULL' END);
                v_made := v_made + 1;
            EXCEPTION WHEN OTHERS THEN
                NULL;
            END;
        END LOOP;
    END LOOP;
    IF v_made < 500 THEN
        RAISE 'only % traps could be made', v_made;
    END IF;
    FOREACH v_schema IN ARRAY ARRAY['public', 'postgres'] LOOP
        EXECUTE format('CREATE FUNCTION %I.trap(anyelement) RETURNS boolean LANGUAGE plpgsql AS '
                       '$$BEGIN RAISE LOG ''trapped: a type or an operator''; RETURN true; END$$', v_schema);
        FOREACH v_result IN ARRAY ARRAY['text', 'uuid', 'int8', 'int4', 'float8', 'timestamptz', 'interval', 'regclass'] LOOP
            EXECUTE format('CREATE DOMAIN %I.%I AS pg_catalog.%I CHECK (%I.trap(VALUE))', v_schema, v_result, v_result,
                           v_schema);
        END LOOP;
        FOR r IN SELECT o.oprname, l.typname AS l, x.typname AS r
                   FROM unnest(ARRAY['=', '<>', '<', '>', '<=', '>=', '||', '~', '~*', '+', '-', '*']) AS o(oprname),
                        (VALUES ('text', 'text'), ('text', 'name'), ('name', 'text'), ('name', 'name'), ('int4', 'int8'),
                                ('int4', 'int4'), ('int8', 'int8'), ('oid', 'oid'), ('bool', 'bool'), ('char', 'char'),
                                ('timestamptz', 'timestamptz'), ('timestamptz', 'interval')) AS t(l, r),
                        pg_type AS l, pg_type AS x
                  WHERE l.typname = t.l AND x.typname = t.r
                    AND 'pg_catalog'::regnamespace IN (l.typnamespace) AND 'pg_catalog'::regnamespace IN (x.typnamespace)
        LOOP
            EXECUTE format('CREATE FUNCTION %I.%I(pg_catalog.%I, pg_catalog.%I) RETURNS boolean LANGUAGE plpgsql AS '
                           '$$BEGIN RAISE LOG ''trapped: operator''; RETURN NULL; END$$', v_schema,
                           'operator ' || r.oprname, r.l, r.r);
            EXECUTE format('CREATE OPERATOR %I.%s (FUNCTION = %I.%I, LEFTARG = pg_catalog.%I, RIGHTARG = pg_catalog.%I)',
                           v_schema, r.oprname, v_schema, 'operator ' || r.oprname, r.l, r.r);
        END LOOP;
    END LOOP;
END
$do$
"""
USELESS_ALONE = {
    *("--targets", "--submit", "--per-job", "--service-name"),
    *("--ca-cert", "--cert", "--key", "--output", "--output-file"),
}
"""Options of the plugin that want others, or exclude how it connects here."""
HOSTILE = "search_path = postgres, public, pg_catalog"


def names_in_our_sql() -> list[str]:
    """Every word before a parenthesis in our SQL, wherever it is: the functions are among them."""
    package = Path(str(importlib.resources.files("check_jobmon")))
    texts = [path.read_text(encoding="utf-8") for kind in ("*.py", "*.sql") for path in package.rglob(kind)]
    return sorted({name.lower() for text in texts for name in re.findall(r"\b([A-Za-z_][A-Za-z_0-9]*)\s*\(", text)})


def set_traps(session: psycopg.Connection) -> None:
    """Overloads of every function of pg_catalog that our SQL names, for its own argument types and for those nearby."""
    functions = session.execute(
        "SELECT p.oid, p.proname, ARRAY(SELECT format_type(a.t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, n)"
        " ORDER BY a.n) FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (%s)"
        " AND p.prokind = 'f'",
        [names_in_our_sql()],
    ).fetchall()
    assert len({name for _, name, _ in functions}) > 50
    calls = set()
    for oid, _, types in functions:
        calls.add((oid, ", ".join(types)))
        for number, argument in enumerate(types):
            for nearby in NEARBY.get(argument, ()):
                calls.add((oid, ", ".join([*types[:number], nearby, *types[number + 1 :]])))
    session.execute("CREATE TEMPORARY TABLE trap_call (oid oid, arguments text)")
    with session.cursor() as cursor, cursor.copy("COPY trap_call FROM STDIN") as copy:
        for call in sorted(calls):
            copy.write_row(call)
    session.execute("CREATE SCHEMA postgres; GRANT CREATE ON SCHEMA public TO PUBLIC")
    session.execute("SET search_path = pg_catalog")
    session.execute(TRAPS)


@pytest.fixture(scope="module")
def surrounded(server: Server, template: str) -> Iterator[Database]:
    """A healthy job log with some runs in it, and traps all around it: what the databases of the tests are copies of."""
    with new_database(server, template) as database:
        assert database.ctl("bootstrap").status == 0
        with database.connect() as session:
            session.execute(
                "INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 hour', '2 hours', true, 0, '-infinity')"
            )
            session.execute("SELECT jobmon.sql_job('etl', 'SELECT 1 / 0'), jobmon.sql_job('load', 'SELECT')")
            set_traps(session)
        yield database


@pytest.fixture(scope="module", params=["hostile settings", "default settings"])
def trapped(request: pytest.FixtureRequest, server: Server, surrounded: Database) -> Iterator[Database]:
    """The same with settings that have a session look there first, or without."""
    is_hostile = request.param == "hostile settings"
    with Database(server, "postgres").connect() as admin:
        admin.execute(f"CREATE DATABASE look_alikes TEMPLATE {surrounded.name}".encode())
        database = Database(server, "look_alikes")
        if is_hostile:
            admin.execute(f"ALTER DATABASE look_alikes SET {HOSTILE}".encode())
            admin.execute(f"ALTER ROLE postgres IN DATABASE look_alikes SET {HOSTILE}".encode())
        with database.connect() as session:  # what the traps are worth
            before = logged(server)
            call = "'a' = 'b'::pg_catalog.text" if is_hostile else "hashtextextended('x', 0::integer)"
            session.execute(f"SELECT {call}".encode())
            assert sprung(server, before)
        yield database
        admin.execute("ALTER ROLE postgres IN DATABASE look_alikes RESET ALL")
        admin.execute("DROP DATABASE look_alikes WITH (FORCE)")


def sprung(server: Server, since: int) -> list[str]:
    """The traps that any session has run into since the server's log had so many bytes: no rollback undoes what is in it."""
    with open(server.folder / "log", "rb") as log:
        log.seek(since)
        return re.findall(r"trapped: .*", log.read().decode(errors="replace"))


def logged(server: Server) -> int:
    """How many bytes the server's log has."""
    return (server.folder / "log").stat().st_size


@pytest.fixture
def values(trapped: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What to give for the arguments."""
    jobs = tmp_path / "jobs.yml"
    place = ", ".join(f"{name}: {value}" for name, value in trapped.parameters.items())
    jobs.write_text(f"jobs: {{ETL: {{warn: 2h, error: 3h}}}}\nhosts: {{here: {{{place}}}}}\n")
    services = tmp_path / "services"
    services.write_text(f"[here]\nhost={trapped.server.folder}\nport={trapped.server.port}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PGPORT", str(trapped.server.port))
    return {
        "NAME": "etl",
        "PATTERN": "e*",
        "LINES": "5",
        "TEXT": "e",
        "JOB_ID|NAME": "1",
        "NAME|JOB_ID": "etl",
        "JOB_ID": "1",
        "INTERVAL": "90 days",
        "LENGTH": "month",
        "DURATION": "2h",
        "TIME": "next run",
        "REASON": "why",
        "PATTERN|ID": "e*",
        "FILE": str(jobs),
        "SECONDS": "20",
        "N": "3",
        "CODES": "3",
        "DIR": str(tmp_path / "spool"),
        "BYTES": "4000",
        "STRING": f"host={trapped.server.folder}",
        "WHERE": f"nagios:{tmp_path}",
        "SCHEMA": "jobmon",
        "ZONE": "Europe/Berlin",
        "AGE": "60d",
        "PATH": str(tmp_path / "jobs.html"),
        "SCHEDULER": "pg_cron",
    }


def lines_in_turn(
    request: pytest.FixtureRequest, values: dict[str, str], command: tuple[str, ...]
) -> Iterator[list[str]]:
    """A command as it is, with each option that only some commands have, and with one of those that nearly all have.

    These say where to connect to and how times are shown, in code that all commands share: each command has another one in
    turn. With the default settings, where only some of the same traps are in the way, it has one line: every other command
    is as it is, and the others have one of their options in turn.
    """
    trapped: Database = request.getfixturevalue("trapped")
    found = [{action.option_strings[-1] for action in parser._actions if action.option_strings} for parser in PARSERS]
    shared = nearly_all_have(found)
    turn = commands().index(command)
    left_out = {name for name in shared if name != shared[turn % len(shared)]}
    lines = [line for line in command_lines("jobmonctl", trapped.options, values, command) if not left_out & {*line}]
    for line in lines if "hostile" in request.node.name else [lines[turn // 2 % len(lines) if turn % 2 else 0]]:
        yield ["here" if before == "--service" else word for before, word in zip(["", *line], line, strict=False)]


PARSERS = [*leaves_of("jobmonctl").values()]
LAST = ("uninstall",)
"""The command after which there is nothing left for others."""


@pytest.mark.parametrize("command", [command for command in commands() if command != LAST], ids=" ".join)
def test_no_command_runs_a_look_alike(
    trapped: Database,
    values: dict[str, str],
    command: tuple[str, ...],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = logged(trapped.server)
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    for given in lines_in_turn(request, values, command):
        if "--targets" in given:  # the other databases are those of the file
            needed = {("config", "services"): ["--nagios"], ("report",): ["-o", values["PATH"]]}.get(command, [])
            given = [*command, *needed, "--targets", values["FILE"]]
        if command == ("run",):
            rest = given[1:-1] if {"--deliver", "--spool-status"} & {*given} else [*given[1:], "--", "true"]
            done = run_module("check_jobmon.ctl", "run", *rest).status
        else:
            if command in (("ack",), ("clear",)):
                given.append("-y")
            done = _status(given)
        assert done in (0, 1), given
        assert sprung(trapped.server, before) == [], given


def _status(argv: list[str]) -> int:
    try:
        return dispatch.main(argv)
    except SystemExit as end:
        return int(end.code or 0)


def test_no_option_of_the_plugin_runs_a_look_alike(
    trapped: Database, values: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """Alone, and for many targets. With the default settings, as the commands have it, only some: every eighth option."""
    before = logged(trapped.server)
    is_hostile = "hostile" in request.node.name
    ways = ("", "--per-job -vv", "--output json", "--output openmetrics")
    many = [["--targets", values["FILE"], *way.split()] for way in ways]
    statuses = []
    plain, *with_an_option = command_lines("check_jobmon", trapped.options, values)
    for line in [plain, *(with_an_option if is_hostile else with_an_option[::8]), *many]:
        given = ["here" if line[number - 1] == "--service" else word for number, word in enumerate(line)]
        try:
            statuses.append(cli.main(given))
        except SystemExit:
            assert set(given) & USELESS_ALONE, given
        assert sprung(trapped.server, before) == [], given
    assert len(statuses) > (12 if is_hostile else 5)
    assert set(statuses) <= {0, 2}


def test_no_function_of_the_schema_runs_a_look_alike_on_either_side_of_the_link(trapped: Database) -> None:
    """Each as a superuser calls it, with plausible arguments; many fail, which is as good here."""
    with trapped.connect() as session:
        calls = [
            "SELECT jobmon.sql_job('load', 'SELECT')",
            "SELECT jobmon.sql_job('load', 'SELEC')",
            "SELECT jobmon.close_job(jobmon.add_job('load'))",
            "SELECT jobmon.fail_job(jobmon.add_job('load'))",
            "SELECT jobmon.update_step(jobmon.add_step(1, 'more'), 'OK', 'done')",
            "SELECT jobmon.sql_step(1, 'more', 'SELECT')",
        ]
        with pinned(session) as ours:
            functions = ours.rows(
                "SELECT p.proname, p.prokind = 'p', ARRAY(SELECT format_type(a.t, NULL) FROM unnest(p.proargtypes)"
                " WITH ORDINALITY AS a(t, n) ORDER BY a.n) FROM pg_proc AS p"
                " WHERE p.pronamespace = 'jobmon'::regnamespace AND p.prorettype <> 'trigger'::regtype"
            )
        assert len(functions) > 30
        before = logged(trapped.server)
        for name, is_procedure, types in functions:
            arguments = ", ".join(EXAMPLES.get(kind, f"NULL::pg_catalog.{kind}") for kind in types)
            calls.append(f"{'CALL' if is_procedure else 'SELECT'} jobmon.{name}({arguments})")
        for call in calls:
            with contextlib.suppress(psycopg.Error):
                session.execute(call.encode())
            assert sprung(trapped.server, before) == [], call
        assert value(session, "SELECT pg_catalog.count(*) FROM jobmon.job_log WHERE end_time IS NOT NULL") >= 4


EXAMPLES = {
    "bigint": "1::bigint",
    "integer": "2::integer",
    "text": "'etl'::pg_catalog.text",
    "interval": "'900 days'::interval",
    "timestamp with time zone": "pg_catalog.now()",
    "uuid": "pg_catalog.gen_random_uuid()",
}
"""Arguments by their type."""


def test_the_last_command_runs_no_look_alike(
    trapped: Database, values: dict[str, str], request: pytest.FixtureRequest
) -> None:
    before = logged(trapped.server)
    for given in lines_in_turn(request, values, LAST):
        assert _status(["bootstrap", *trapped.options]) == 0
        assert _status([*given, "-y"]) in (0, 1), given
        assert sprung(trapped.server, before) == [], given

"""Bootstrap compares what is in the schema with what it makes, before it reads or calls any of it."""

import re
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.schema import compare
from check_jobmon.schema.compare import Thing, differences
from tests.database import Database, bootstrap, value

MARKER = "trapped by the owner"

TOOLS = f"""
    CREATE SCHEMA trap;
    CREATE FUNCTION trap.f() RETURNS integer LANGUAGE plpgsql AS $$BEGIN RAISE LOG '{MARKER}'; RETURN 1; END$$;
    CREATE FUNCTION trap.f(anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE LOG '{MARKER}'; RETURN $1; END$$;
    CREATE FUNCTION trap.fires() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE LOG '{MARKER}'; RETURN NEW; END$$;
    CREATE DOMAIN trap.text AS pg_catalog.text CHECK (trap.f(VALUE) IS NOT NULL);
    CREATE FUNCTION trap.same(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE LOG '{MARKER}'; RETURN true; END$$
"""
"""Written to the server's log, which no rollback undoes. In a schema of its own: what is in jobmon is refused for itself."""

TRAPS = {
    "the version as a view": (
        "ALTER TABLE jobmon.schema_version RENAME TO mine;"
        "CREATE VIEW jobmon.schema_version AS SELECT version + 0 * trap.f() AS version, script, package FROM jobmon.mine",
        "relation schema_version",
    ),
    "the version computed when it is read": (
        "ALTER TABLE jobmon.schema_version ALTER version TYPE trap.text USING version::text",
        "relation schema_version",
    ),
    "the link as a view": (
        "ALTER TABLE jobmon.link RENAME TO mine;CREATE VIEW jobmon.link AS SELECT m.*, trap.f() FROM jobmon.mine AS m",
        "relation link is view, not table",
    ),
    "a statement trigger": (
        "CREATE TRIGGER trap BEFORE UPDATE OR INSERT OR DELETE ON jobmon.link EXECUTE FUNCTION trap.fires()",
        "trigger trap of link",
    ),
    "a row trigger": (
        "CREATE TRIGGER trap BEFORE INSERT ON jobmon.schema_version FOR EACH ROW EXECUTE FUNCTION trap.fires()",
        "trigger trap of schema_version",
    ),
    "another function behind a known trigger": (
        "DROP TRIGGER job_log_ended ON jobmon.job_log;"
        "CREATE TRIGGER job_log_ended AFTER INSERT OR UPDATE ON jobmon.job_log FOR EACH ROW EXECUTE FUNCTION trap.fires()",
        "trigger job_log_ended of job_log is",
    ),
    "a trigger switched off": (
        "ALTER TABLE jobmon.job_log DISABLE TRIGGER job_log_ended",
        "trigger job_log_ended of job_log is",
    ),
    "the body of a trigger that no bootstrap replaces": (
        "CREATE OR REPLACE FUNCTION jobmon.job_status_text_names() RETURNS trigger LANGUAGE plpgsql"
        " SET search_path = pg_catalog, jobmon, pg_temp AS $$BEGIN PERFORM trap.f(); RETURN NEW; END$$",
        "function job_status_text_names() has another body",
    ),
    "a trigger gone that no bootstrap makes again": (
        "DROP TRIGGER job_status_text_names ON jobmon.job_status_text",
        "trigger job_status_text_names of job_status_text is missing",
    ),
    "a rule": (
        "CREATE RULE trap AS ON UPDATE TO jobmon.link DO ALSO SELECT trap.f()",
        "rule trap of link",
    ),
    "a policy": (
        "CREATE POLICY trap ON jobmon.link USING (trap.f() = 1)",
        "policy trap of link",
    ),
    "row level security": (
        "ALTER TABLE jobmon.link ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        "relation link is table, with row level security, with forced row level security",
    ),
    "a default": (
        "ALTER TABLE jobmon.link ALTER over SET DEFAULT trap.f()::text",
        "column over of link is text NOT NULL default (trap.f())::text",
    ),
    "a default in a new column of the log": (
        "ALTER TABLE jobmon.job_log ADD mine integer; ALTER TABLE jobmon.job_log ALTER mine SET DEFAULT trap.f()",
        "column mine of job_log",
    ),
    "a default that is computed": (
        "ALTER TABLE jobmon.job_log ALTER owner SET DEFAULT query_to_xml('SELECT trap.f()', true, false, '')::text",
        "column owner of job_log is text NOT NULL default (query_to_xml",
    ),
    "a column that must not be NULL": (
        "ALTER TABLE jobmon.job_log ADD mine integer NOT NULL",
        "column mine of job_log",
    ),
    "a column of a type with a check": ("ALTER TABLE jobmon.job_log ADD mine trap.text", "column mine of job_log"),
    "a check that runs SQL": (
        "ALTER TABLE jobmon.job_log ADD CONSTRAINT trap"
        " CHECK (query_to_xml('SELECT trap.f()', true, false, '') IS NOT NULL) NOT VALID",
        "constraint trap of job_log",
    ),
    "a check with an operator": (
        "CREATE OPERATOR trap.== (FUNCTION = trap.same, LEFTARG = text, RIGHTARG = text);"
        "ALTER TABLE jobmon.job_log ADD CONSTRAINT trap CHECK (job_name OPERATOR(trap.==) 'x') NOT VALID",
        "constraint trap of job_log",
    ),
    "a check that casts": (
        "ALTER TABLE jobmon.job_log ADD CONSTRAINT trap CHECK (job_name::trap.text IS NOT NULL) NOT VALID",
        "constraint trap of job_log",
    ),
    "a function of the name of one of bootstrap's": (
        "CREATE FUNCTION jobmon.may_write(integer) RETURNS boolean LANGUAGE sql AS 'SELECT trap.f() = 1'",
        "function may_write(integer)",
    ),
    "a default in a new column": (
        "ALTER TABLE jobmon.link ADD mine integer; ALTER TABLE jobmon.link ALTER mine SET DEFAULT trap.f()",
        "column mine of link",
    ),
    "a generated column": (
        "ALTER TABLE jobmon.link ADD mine text GENERATED ALWAYS AS (trap.f(over)) STORED",
        "column mine of link",
    ),
    "a domain as the type of a column": (
        "ALTER TABLE jobmon.dblink_mapping ALTER username TYPE trap.text",
        "column username of dblink_mapping is trap.text",
    ),
    "a column gone": ("ALTER TABLE jobmon.link DROP over", "column over of link is missing"),
    "another collation": (
        "DROP TRIGGER job_log_due ON jobmon.job_log; DROP VIEW jobmon.own_runs;"
        ' ALTER TABLE jobmon.job_log ALTER job_name TYPE text COLLATE "POSIX"',
        'column job_name of job_log is text NOT NULL collation "POSIX"',
    ),
    "a check": (
        "ALTER TABLE jobmon.link ADD CONSTRAINT trap CHECK (trap.f(over) <> '') NOT VALID",
        "constraint trap of link",
    ),
    "a constraint trigger": (
        "CREATE CONSTRAINT TRIGGER trap AFTER UPDATE ON jobmon.link DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION trap.fires()",
        "trigger trap of link",
    ),
    "an index on an expression": ("CREATE INDEX trap ON jobmon.link (trap.f(over))", "index trap of link"),
    "an index with a condition": (
        "CREATE INDEX trap ON jobmon.link (over) WHERE trap.f(over) <> ''",
        "index trap of link",
    ),
    "a unique index": (
        "CREATE UNIQUE INDEX unique_trap ON jobmon.job_log (job_name, start_time)",
        "index unique_trap of job_log",
    ),
    "an operator class": (
        "CREATE FUNCTION trap.compare(text, text) RETURNS integer LANGUAGE plpgsql IMMUTABLE"
        f" AS $$BEGIN RAISE LOG '{MARKER}'; RETURN bttextcmp($1, $2); END$$;"
        "CREATE OPERATOR CLASS trap.ops FOR TYPE text USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=,"
        " OPERATOR 5 >, FUNCTION 1 trap.compare(text, text); CREATE INDEX trap ON jobmon.link (over trap.ops)",
        "index trap of link",
    ),
    "a child": (
        "CREATE TABLE trap.child () INHERITS (jobmon.link)",
        "relation link is table, is inherited by trap.child",
    ),
    "a parent": (
        "CREATE TABLE trap.parent (over text); ALTER TABLE jobmon.link INHERIT trap.parent",
        "relation link is table, inherits from trap.parent",
    ),
    "a table that forgets": ("ALTER TABLE jobmon.past_run SET UNLOGGED", "relation past_run is table, unlogged"),
    "a foreign table": (
        "CREATE FOREIGN DATA WRAPPER trap; CREATE SERVER trap FOREIGN DATA WRAPPER trap;"
        "CREATE FOREIGN TABLE jobmon.mine () SERVER trap",
        "relation mine is not check_jobmon's",
    ),
    "a function in another language": (
        "CREATE OR REPLACE FUNCTION jobmon.close_job(p_job_id bigint) RETURNS void LANGUAGE internal AS 'pg_notify'",
        "function close_job(bigint) is function, in language internal",
    ),
    "an overload that a function of bootstrap's would prefer": (
        "CREATE FUNCTION jobmon.format(text, bigint) RETURNS text LANGUAGE sql AS 'SELECT trap.f()::text'",
        "function format(text, bigint)",
    ),
    "a procedure in place of a function": (
        "DROP FUNCTION jobmon.link_close(bigint); CREATE PROCEDURE jobmon.link_close(bigint) LANGUAGE sql AS ''",
        "function link_close(bigint) is procedure, arguments",
    ),
    "an aggregate": (
        "CREATE AGGREGATE jobmon.max(text) (SFUNC = textcat, STYPE = text)",
        "function max(text)",
    ),
    "an operator": (
        "CREATE OPERATOR jobmon.<> (FUNCTION = trap.same, LEFTARG = text, RIGHTARG = text)",
        "operator <>(text, text)",
    ),
    "a cast of a table's row": (
        "CREATE FUNCTION trap.to_json(jobmon.job_status_text) RETURNS json LANGUAGE sql AS 'SELECT to_json(trap.f())';"
        "CREATE CAST (jobmon.job_status_text AS json) WITH FUNCTION trap.to_json(jobmon.job_status_text)",
        "cast from job_status_text to json",
    ),
    "a domain": ("CREATE DOMAIN jobmon.integer AS bigint CHECK (trap.f() = 1)", "type integer"),
    "a range": ("CREATE TYPE jobmon.mood AS RANGE (SUBTYPE = integer)", "type mood"),
    "a collation": ('CREATE COLLATION jobmon.mine FROM "C"', "collation mine"),
    "a conversion": (
        "CREATE DEFAULT CONVERSION jobmon.mine FOR 'LATIN1' TO 'UTF8' FROM pg_catalog.iso8859_1_to_utf8",
        "conversion mine",
    ),
    "a text search configuration": (
        "CREATE TEXT SEARCH CONFIGURATION jobmon.mine (COPY = pg_catalog.simple)",
        "text search configuration mine",
    ),
    "the right to add triggers": (
        "GRANT ALL ON jobmon.link TO pg_monitor",
        "right of pg_monitor to make triggers on link",
    ),
    "the right to refer to a table": (
        "GRANT REFERENCES ON jobmon.job_log TO pg_monitor",
        "right of pg_monitor to make foreign keys to job_log",
    ),
    "the right to refer to a column": (
        "GRANT REFERENCES (job_id) ON jobmon.job_log TO PUBLIC",
        "right of PUBLIC to make foreign keys to job_log",
    ),
    "somebody else's foreign key": (
        "CREATE TABLE trap.referring (job_id bigint REFERENCES jobmon.job_log ON DELETE CASCADE);"
        "ALTER TABLE trap.referring OWNER TO pg_monitor",
        'foreign key referring_job_id_fkey of trap.referring (owner "pg_monitor") to job_log',
    ),
}


ALONE = ("the version as a view", "the version computed when it is read", "the link as a view", "a column gone")
"""Traps that keep others from being set or named."""


def rounds() -> list[list[str]]:
    """The traps that are set at the same time: no two of a round at the same object."""
    found: dict[int, list[str]] = {}
    at: Counter[str] = Counter()
    for trap, (_, name) in TRAPS.items():
        if trap not in ALONE:
            thing = name.partition(" is ")[0]
            found.setdefault(at[thing], []).append(trap)
            at[thing] += 1
    return [*([trap] for trap in ALONE), *found.values()]


def traps_sprung(database: Database) -> int:
    """How many times the marker is in the server's log, which has the marker's functions as well if it logs statements."""
    return len(re.findall(f"LOG:  {MARKER}", Path(database.server.folder, "log").read_text(errors="replace")))


@pytest.mark.parametrize("traps", rounds(), ids=lambda traps: f"{traps[0]} and {len(traps) - 1} more")
def test_what_differs_is_refused_by_name_before_it_can_run(
    database: Database, session: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, traps: list[str]
) -> None:
    """All traps of a round at once, and each has to be named: whatever one of them springs is read before any is refused."""
    monkeypatch.setattr(compare, "NAMED", 1000)
    session.execute(TOOLS.encode())
    for trap in traps:
        session.execute(TRAPS[trap][0].encode())
    before = traps_sprung(database)
    with database.connect() as victim:
        for check in (True, False):
            with pytest.raises(BootstrapError) as refused:
                bootstrap(victim, "jobmon", check=check)
            said = str(refused.value)
            assert said.startswith('schema "jobmon" is not as bootstrap made it; nothing was changed (')
            assert [trap for trap in traps if TRAPS[trap][1] not in said] == []
            assert said.endswith(": undo that as the schema's owner (DROP, ALTER, REVOKE)")
            assert "\n" not in said
    assert traps_sprung(database) == before


TOLERATED = (
    "CREATE INDEX by_owner ON jobmon.job_log (owner, start_time DESC) INCLUDE (pid) WITH (fillfactor = 50)",
    "CREATE INDEX by_time ON jobmon.job_log USING brin (start_time)",
    "DROP INDEX jobmon.past_run_job_id_idx",
    "ALTER TABLE jobmon.job_log ALTER job_name SET STATISTICS 1000",
    "ALTER TABLE jobmon.job_detail ALTER message SET STORAGE EXTERNAL",
    "CREATE STATISTICS jobmon.mine ON job_name, status FROM jobmon.job_log",
    "COMMENT ON TABLE jobmon.job_log IS 'ours'",
    "ALTER TABLE jobmon.job_log ADD host inet; ALTER TABLE jobmon.job_detail ADD rows bigint DEFAULT 0",
    "ALTER TABLE jobmon.job_check_config ADD contact text DEFAULT 'dba', ADD tags varchar(9)[], ALTER active SET DEFAULT true",
    "ALTER TABLE jobmon.job_log ADD CHECK (job_name = upper(job_name) AND length(job_name) < 1000)",
    "CREATE TYPE jobmon.mood AS ENUM ('bad'); CREATE DOMAIN jobmon.name_of_job AS text; CREATE TYPE jobmon.pair AS (x integer)",
    "CREATE FUNCTION jobmon.report() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM jobmon.job_log';"
    "REVOKE EXECUTE ON FUNCTION jobmon.report() FROM PUBLIC",
    "GRANT SELECT, DELETE ON jobmon.job_log TO pg_monitor; GRANT USAGE ON SCHEMA jobmon TO PUBLIC",
    "CREATE VIEW jobmon.counted AS SELECT job_name, count(*) FROM jobmon.job_log GROUP BY 1",
    "CREATE TABLE public.job_log (x integer); CREATE TEMPORARY TABLE job_log (x integer); CREATE TEMPORARY TABLE link ()",
)
TOLERATED_OF_A_WHOLE_LOG = (
    "ALTER INDEX jobmon.job_log_pkey SET (fillfactor = 80)",
    "ALTER TABLE jobmon.job_log SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01)",
    "ALTER TABLE jobmon.job_log CLUSTER ON job_log_pkey; ALTER TABLE jobmon.job_log REPLICA IDENTITY FULL",
    "CREATE TABLE public.referring (job_id bigint REFERENCES jobmon.job_log)",
    "CREATE TABLE jobmon.our_table (id serial PRIMARY KEY, job_id bigint REFERENCES jobmon.job_log, x text CHECK (x <> ''))",
)
"""What PostgreSQL refuses itself if the log is partitioned."""


def test_what_a_site_may_reasonably_add_is_left_alone(database: Database, session: psycopg.Connection) -> None:
    """All of it at once: a refusal names what it is about. And the comparison leaves nothing behind."""
    bootstrap(session, "jobmon")
    whole = value(session, "SELECT relkind = 'r' FROM pg_class WHERE oid = 'jobmon.job_log'::regclass")
    for statement in TOLERATED + TOLERATED_OF_A_WHOLE_LOG * whole:
        session.execute(statement.encode())
    session.execute("INSERT INTO pg_temp.job_log VALUES (1)")
    count = (
        "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc), (SELECT sum(x) FROM pg_temp.job_log)"
    )
    before = session.execute(count).fetchone()
    report = bootstrap(session, "jobmon")
    assert session.execute(count).fetchone() == before
    assert (report.changed, report.before) == (False, report.after)
    assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT')").endswith("was successful")


def test_the_first_five_differences_are_named(database: Database, session: psycopg.Connection) -> None:
    for number in range(7):
        session.execute(f"CREATE POLICY p{number} ON jobmon.link".encode())
    done = database.ctl("bootstrap")
    assert "policy p0 of link is not check_jobmon's; policy p1 of link is not" in done.stderr
    assert "; policy p4 of link is not check_jobmon's; and 2 more): undo" in done.stderr
    assert (done.stderr.count("\n"), done.stdout, done.status) == (1, "", 1)


@pytest.mark.parametrize("schema", ["user", "log", "_1", "job_log"])
def test_a_schema_of_any_name_is_compared_without_its_name(empty_database: Database, schema: str) -> None:
    with empty_database.connect() as session:
        assert bootstrap(session, schema, with_roles=False).changed is True
        assert bootstrap(session, schema, with_roles=False).changed is False


def test_what_a_script_that_is_due_drops_may_be_there() -> None:
    def thing(name: str) -> dict[str, Thing]:
        return {name: Thing(None, name, "", None, False, False)}

    due = (
        'CREATE TABLE "jobmon".x (); DROP FUNCTION IF EXISTS "jobmon".old(bigint, text[]), "jobmon".older();'
        "SELECT format(text, bigint);"
    )
    for name in ("function old(bigint, text[])", "function older()"):
        assert differences(thing(name), {}, {}, due) == []
    for name in ("function old(bigint)", "function format(text, bigint)"):
        assert differences(thing(name), {}, {}, due) == [f"{name} is not check_jobmon's"]

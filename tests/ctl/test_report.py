"""jobmonctl report: what the page says, what it is made of, and where it is written. tests/system/test_report.py looks at it."""

import os
import re
import resource
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import psycopg
import pytest

from check_jobmon.ctl.report.drawing import TITLED
from tests.ctl.prompt import a_run, jobmonctl, refusal
from tests.database import Database, Output, run_module, value

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{ 7 * 7 }}\u202egnp.exe\x1b[31m"
PAST = """
    INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
    SELECT 'me', %s, t, t + %s::interval, %s, 1
      FROM generate_series(now() - %s::interval, now() - %s::interval, %s::interval) AS t
"""


class Page(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.bars: list[str] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["title"] and len(self._open) > 1:
            self.bars.append(data)
        if self._open[-1:] not in (["style"], ["script"]):
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def all(self, tag: str, name: str) -> list[str]:
        """The values of an attribute of the tags of this name."""
        return [found[name] or "" for kind, found in self.tags if kind == tag and name in found]


def report(database: Database, *arguments: str, **environment: str) -> Page:
    """The page, from standard output."""
    output = jobmonctl(database, "report", "-o", "-", *arguments, **environment)
    assert (output.status, output.stderr) == (0, "")
    return Page(output.stdout)


def past(
    session: psycopg.Connection,
    name: str,
    *,
    took: str = "5 min",
    status: str = "OK",
    since: str,
    until: str,
    every: str,
) -> None:
    """Runs at regular times."""
    session.execute(PAST.encode(), [name, took, status, since, until, every])


def configure(session: psycopg.Connection, name: str, **columns: object) -> None:
    """A watched job, late after a day."""
    columns = {"warn_threshold": "1 day", "error_threshold": "2 days", "active": True, **columns}
    session.execute(
        f"INSERT INTO jobmon.job_check_config (job_name, {', '.join(columns)}) VALUES (%s{', %s' * len(columns)})".encode(),
        [name, *columns.values()],
    )


def test_it_says_what_the_plugin_says_and_the_problems_with_their_reasons(
    database: Database, session: psycopg.Connection
) -> None:
    a_run(session, "cube", ("build", "OK", "done"))
    configure(
        session, "ETL", owner="the data team", runbook="https://wiki.example.com/etl", description="Loads all facts."
    )
    a_run(session, "etl", ("load facts", "CRITICAL", "duplicate key"), end="fail_job(%s)")
    page = report(database)
    assert database.check("-v").first_line in page.text
    assert "failed 1 time (load facts: duplicate key)" in page.text
    assert "Loads all facts." in page.text
    assert "the data team" in page.text
    assert "https://wiki.example.com/etl" in page.all("a", "href")
    assert [bar for bar in page.bars if re.search(r": CRITICAL, took .*: load facts: duplicate key$", bar)]


def test_a_missed_run_is_marked_until_the_next_one_began(database: Database, session: psycopg.Connection) -> None:
    configure(session, "NIGHTLY")
    past(session, "NIGHTLY", since="6 days", until="3 days", every="1 day")
    past(session, "NIGHTLY", since="1 day", until="1 hour", every="12 hours")
    due, until = session.execute(
        "SELECT to_char(max(end_time) + interval '1 day', 'YYYY-MM-DD HH24:MI'),"
        " to_char(now() - interval '1 day', 'YYYY-MM-DD HH24:MI')"
        " FROM jobmon.job_log WHERE end_time < now() - interval '2 days'"
    ).fetchone() or ("", "")
    assert [bar for bar in report(database).bars if bar.startswith("missing")] == [
        f"missing since {due}, until {until}"
    ]


def test_a_job_that_is_missing_now_is_marked_until_now(database: Database, session: psycopg.Connection) -> None:
    configure(session, "NEVER", since="-infinity")
    assert [bar for bar in report(database).bars if bar.startswith("missing")] == ["missing, until now"]


def test_runs_under_way_and_crashed_ones_are_on_the_timeline(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as gone:
        a_run(gone, "crashing", end="")
    a_run(session, "going on", end="")
    bars = report(database).bars
    assert any(re.search(r": running for \d", bar) for bar in bars), bars
    assert any(re.search(r": crashed$", bar) for bar in bars), bars


def test_durations_have_their_median_and_limits(database: Database, session: psycopg.Connection) -> None:
    configure(session, "ETL", warn_duration="1 hour", error_duration="90 min", slow_factor=3)
    past(session, "ETL", took="30 min", since="6 days", until="1 hour", every="12 hours")
    labels = [label for label in report(database).all("svg", "aria-label") if "median" in label]
    assert labels == ["slow 1h 30m, critical 1h 30m, warning 1h, median 30m, longest 30m"]


def test_other_peoples_texts_are_text(database: Database, session: psycopg.Connection) -> None:
    configure(
        session,
        HOSTILE.upper(),
        owner=HOSTILE,
        description=HOSTILE,
        runbook=f"javascript:{HOSTILE}",
        warn_threshold="1 s",
    )
    a_run(session, HOSTILE, (HOSTILE, "CRITICAL", HOSTILE), end="fail_job(%s)")
    page = report(database)
    assert [tag for tag, _ in page.tags if tag in ("img", "script")] == ["script"]
    assert {name for _, found in page.tags for name in found if name.startswith("on") or name == "style"} == set()
    assert all(re.match(r"#j\d+-\d+$|#", href) for href in page.all("a", "href"))
    assert "{{ 7 * 7 }}" in page.text
    assert "\u202e" not in page.text
    assert "\x1b" not in page.text


def test_only_its_own_style_and_script_are_allowed(database: Database) -> None:
    page = report(database)
    (policy,) = page.all("meta", "content")[:1]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]+'; script-src 'sha256-[\w+/=]+'; base-uri 'none'; form-action 'none'",
        policy,
    )
    assert page.all("html", "lang") == ["en"]


def test_times_that_no_clock_shows_break_nothing(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "sane", ("load", "CRITICAL", "why"), end="fail_job(%s)")
    configure(session, "ODD", warn_duration="1 hour", schedule="0 2 * * *")
    odd = ("infinity", "-infinity", "294276-12-31 23:59", "4713-01-01 BC", "9999-12-31", "0001-01-01")
    for start in odd:
        for end in (*odd, "now"):
            session.execute(
                "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
                " VALUES ('me', 'ODD', %s, %s, 'CRITICAL', 1), ('me', 'ODD', %s, NULL, NULL, 1)",
                [start, end, start],
            )
    for since in ("7d", "1s", "99 years"):
        assert "SANE" in report(database, "--since", since).text


def test_runs_that_cant_be_told_apart_are_one_bar_and_too_many_one_shape(
    database: Database, session: psycopg.Connection
) -> None:
    past(session, "OFTEN", took="1 s", since="6 days", until="1 hour", every="1 minute")
    page = report(database)
    runs = value(session, "SELECT count(*) FROM jobmon.job_log")
    assert runs > 8000
    assert f"{runs} runs" in page.all("svg", "aria-label")
    assert "Runs that began within the same 10m are drawn as one." in page.text
    assert len(page.bars) < TITLED
    assert len(jobmonctl(database, "report", "-o", "-").stdout) < 200_000


def test_only_the_jobs_that_are_asked_for_are_on_it(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "nightly etl")
    a_run(session, "cube")
    text = report(database, "-j", "nightly *").text
    assert "NIGHTLY ETL" in text
    assert "CUBE" not in text
    assert 'no job "NOPE" was ever logged' in refusal(jobmonctl(database, "report", "-o", "-", "-j", "nope"))


def test_an_empty_log_is_a_page(database: Database) -> None:
    assert "No job was ever logged or configured." in report(database).text


def test_times_are_in_the_zone_that_is_asked_for(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "etl")
    assert "(Asia/Kolkata)" in report(database, PGTZ="Asia/Kolkata").text
    assert "(UTC)" in report(database, "--utc", PGTZ="Asia/Kolkata").text


@pytest.mark.parametrize("text", ["nonsense", "7", "-1d", "0s", "1000 years", ""])
def test_a_window_that_is_none_is_told_in_a_sentence(database: Database, text: str) -> None:
    output = jobmonctl(database, "report", "-o", "-", f"--since={text}")
    assert (output.status, output.stdout, output.stderr.count("\n")) == (2, "", 1)
    assert "--since" in output.stderr


def test_the_file_gets_the_umasks_mode_and_replaces_one_that_is_there(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "jobs.html"
    command = [sys.executable, "-m", "check_jobmon.ctl", "report", *database.options, "-o", str(file)]
    subprocess.run(["sh", "-c", 'umask 027; exec "$@"', "sh", *command], check=True)
    assert file.stat().st_mode & 0o777 == 0o640
    file.write_text("before")
    subprocess.run(command, check=True)
    assert file.read_text().startswith("<!DOCTYPE html>")
    assert os.listdir(tmp_path) == ["jobs.html"]


def test_a_full_disk_leaves_what_was_there(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "jobs.html"
    file.write_text("before")
    done = subprocess.run(
        [sys.executable, "-m", "check_jobmon.ctl", "report", *database.options, "-o", str(file)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        refusal(Output(done.returncode, done.stdout, done.stderr))
        == f"jobmonctl report: {file} can't be written: File too large"
    )
    assert (os.listdir(tmp_path), file.read_text()) == (["jobs.html"], "before")


def test_a_place_that_cant_be_written_is_told(database: Database, tmp_path: Path) -> None:
    said = refusal(jobmonctl(database, "report", "-o", str(tmp_path / "nowhere" / "jobs.html")))
    assert said == f"jobmonctl report: {tmp_path}/nowhere/jobs.html can't be written: No such file or directory"


def test_without_jinja_it_says_what_to_install_before_it_connects(tmp_path: Path) -> None:
    (tmp_path / "jinja2.py").write_text("raise ImportError\n")
    done = subprocess.run(
        [sys.executable, "-m", "check_jobmon.ctl", "report", "-o", "-", "-H", "127.0.0.1", "-p", "1"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = refusal(Output(done.returncode, done.stdout, done.stderr))
    assert said.startswith("jobmonctl report: Jinja2 is not installed: pip install 'check_jobmon[report]'")


def test_many_databases_are_one_page_with_those_that_dont_answer(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    configure(session, "ETL")
    a_run(session, "etl", ("load facts", "CRITICAL", "duplicate key"), end="fail_job(%s)")
    place = ", ".join(f"{name}: {text}" for name, text in database.parameters.items())
    file = tmp_path / "hosts.yml"
    file.write_text(f"hosts: {{one: {{{place}}}, two: {{{place}}}, gone: {{host: 127.0.0.1, port: 1, dbname: x}}}}\n")
    output = run_module("check_jobmon.ctl", "report", "--targets", str(file), "-o", "-")
    assert (output.status, output.stderr) == (1, "jobmonctl report: 1 of 3 targets could not be asked\n")
    page = Page(output.stdout)
    assert "Jobs of 3 databases" in page.text
    assert "gone UNKNOWN: " in " ".join(page.text.split())
    assert page.text.count("failed 1 time (load facts: duplicate key)") >= 4
    ids = [found["id"] for tag, found in page.tags if tag == "div" and "id" in found]
    assert ids == ["j0-0", "j1-0"]
    assert {href[1:] for href in page.all("a", "href") if href.startswith("#j")} == {*ids}
    only = run_module("check_jobmon.ctl", "report", "--targets", str(file), "-H", "o*", "-o", "-")
    assert (only.status, only.stderr) == (0, "")
    assert "Jobs of one" in Page(only.stdout).text

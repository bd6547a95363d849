"""The page of jobmonctl report in Debian's Chromium: only what is ours runs, nothing is fetched, and everybody can read it."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from check_jobmon.demo.server import Server
from check_jobmon.sql_files import sql_file
from tests.ctl.prompt import a_run
from tests.ctl.test_report import HOSTILE, configure
from tests.database import new_database
from tests.system.daemons import SOURCES, program

AXE = Path(os.environ.get("JOBMON_CI_CACHE", SOURCES / ".ci" / "cache"), "axe-core", "axe.min.js")
SIZES = {"phone": (400, 800), "desk": (1280, 900)}


@dataclass
class Seen:
    """A page in the browser, and what happened besides."""

    page: Any
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    path = program("chromium", "chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of jobs in every state, with a past, and of one whose texts are markup and script. No test changes it."""
    path = tmp_path_factory.mktemp("page") / "jobs.html"
    with new_database(server, template) as database, database.connect() as session:
        session.execute(sql_file("demo/past_runs.sql").encode())
        configure(session, "CUBE")
        configure(
            session, "NEVER", since="-infinity", runbook="https://wiki.example.com/never", description="It never ran."
        )
        configure(session, HOSTILE.upper(), owner=HOSTILE, description=HOSTILE, runbook=f"javascript:{HOSTILE}")
        a_run(session, HOSTILE, (HOSTILE, "CRITICAL", HOSTILE), end="fail_job(%s)")
        a_run(session, "warned", ("load", "WARNING", "few rows"), end="close_job(%s)")
        with database.connect() as gone:
            a_run(gone, "crashing", end="")
        a_run(session, "going on", end="")
        output = database.ctl("report", "-o", str(path), "--since", "14d")
    assert (output.status, output.stderr) == (0, "")
    return path


def look(browser: Any, file: Path, size: str = "desk", **settings: Any) -> Seen:
    """Open the page."""
    width, height = SIZES[size]
    seen = Seen(browser.new_context(viewport={"width": width, "height": height}, **settings).new_page())
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("console", lambda message: seen.console.append(message.text))
    seen.page.on("pageerror", lambda error: seen.console.append(str(error)))
    seen.page.on("dialog", lambda dialog: seen.console.append(f"a dialog: {dialog.message}"))
    seen.page.goto(file.as_uri())
    return seen


def test_nothing_runs_that_isnt_ours_and_nothing_is_fetched(browser: Any, file: Path) -> None:
    seen = look(browser, file)
    seen.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    seen.page.hover(".row >> nth=1")
    seen.page.wait_for_timeout(200)
    assert (seen.requests, seen.console) == ([file.as_uri()], [])
    assert seen.page.evaluate("document.scripts.length") == 1
    assert "<img src=x onerror=alert(2)>" in seen.page.inner_text("main").lower()


def test_what_is_smuggled_into_the_page_is_not_run(browser: Any, file: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    evil = "<script>document.title='run'</script><img src='https://example.com/x.png' onerror=\"document.title='run'\">"
    changed.write_text(file.read_text().replace("<main>", f"<main>{evil}"))
    seen = look(browser, changed)
    seen.page.wait_for_timeout(200)
    assert seen.page.title() != "run"
    assert len(seen.console) >= 2, "the policy's refusals"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, file: Path, size: str, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip(f"there is no axe-core: .ci/axe-core {AXE.parent.parent}")
    page = look(browser, file, size, color_scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate(AXE.read_text())
    found = json.loads(page.evaluate("axe.run().then(result => JSON.stringify(result))"))
    assert len(found["passes"]) > 10
    grave = [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert grave == []


def test_a_phone_scrolls_only_inside_the_timeline(browser: Any, file: Path) -> None:
    page = look(browser, file, "phone").page
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("box => box.scrollWidth > box.clientWidth", page.query_selector(".box:has(.timeline)"))


def test_all_of_it_is_there_without_javascript(browser: Any, file: Path) -> None:
    page = look(browser, file, java_script_enabled=False).page
    assert not page.is_visible("#filter")
    page.click("details:has-text('NEVER') summary")
    assert page.is_visible("text=It never ran.")
    page.goto(f"{file.as_uri()}#{page.get_attribute('.timeline a', 'href')[1:]}")
    assert page.is_visible(".about >> nth=0")


def test_zoom_hover_filter_and_links(browser: Any, file: Path) -> None:
    page = look(browser, file).page
    wide = "document.querySelector('.timeline').offsetWidth"
    before = page.evaluate(wide)
    page.click("#in")
    assert page.evaluate(wide) > 1.5 * before
    page.click("#whole")
    assert page.evaluate(wide) == before
    page.hover("tr:has-text('NEVER') .row rect.missed", force=True)
    assert page.inner_text("#hint") == "missing, until now"
    page.fill("#filter", "cube")
    assert [row.inner_text().strip() for row in page.query_selector_all(".timeline tbody tr") if row.is_visible()] == [
        "CUBE"
    ]
    page.fill("#filter", "")
    page.click(".timeline a:has-text('NEVER')")
    page.wait_for_function("document.querySelector('details[open]') !== null")
    assert page.is_visible("text=It never ran.")

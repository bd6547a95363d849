"""The page of jobmonctl report in Debian's Chromium: only what is ours runs, nothing is fetched, and everybody can read it."""

import contextlib
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
SIZES = {"phone": {"width": 400, "height": 800}, "desk": {"width": 1280, "height": 900}}
COLOURS = ["color-contrast", "link-in-text-block"]
"""axe's rules on what a scheme of colours changes."""


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


@contextlib.contextmanager
def look(browser: Any, file: Path, size: str = "desk", **settings: Any) -> Iterator[Seen]:
    """Open the page, and close it afterwards."""
    context = browser.new_context(viewport=SIZES[size], **settings)
    seen = Seen(context.new_page())
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("console", lambda message: seen.console.append(message.text))
    seen.page.on("pageerror", lambda error: seen.console.append(str(error)))
    seen.page.on("dialog", lambda dialog: seen.console.append(f"a dialog: {dialog.message}"))
    seen.page.goto(file.as_uri())
    yield seen
    context.close()


@pytest.fixture(scope="module")
def opened(browser: Any, file: Path) -> Iterator[Seen]:
    """The page with all of its details open. The tests that share it change nothing but its size, colours and pointer."""
    with look(browser, file) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        yield seen


def test_nothing_runs_that_isnt_ours_and_nothing_is_fetched(opened: Seen, file: Path) -> None:
    opened.page.set_viewport_size(SIZES["desk"])
    opened.page.hover(".row >> nth=1")
    opened.page.wait_for_timeout(200)
    assert (opened.requests, opened.console) == ([file.as_uri()], [])
    assert opened.page.evaluate("document.scripts.length") == 1
    assert "<img src=x onerror=alert(2)>" in opened.page.inner_text("main").lower()


def test_what_is_smuggled_into_the_page_is_not_run(browser: Any, file: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    evil = "<script>document.title='run'</script><img src='https://example.com/x.png' onerror=\"document.title='run'\">"
    changed.write_text(file.read_text().replace("<main>", f"<main>{evil}"))
    with look(browser, changed) as seen:
        seen.page.wait_for_timeout(200)
        assert seen.page.title() != "run"
        assert len(seen.console) >= 2, "the policy's refusals"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Seen, scheme: str) -> None:
    """By all rules at the desk in the light and on a phone in the dark, elsewhere by those on colours."""
    if not AXE.exists():
        pytest.skip(f"there is no axe-core: .ci/axe-core {AXE.parent.parent}")
    page = opened.page
    page.emulate_media(color_scheme=scheme)
    page.evaluate(AXE.read_text())
    for size, viewport in SIZES.items():
        page.set_viewport_size(viewport)
        all_rules = (size, scheme) in (("desk", "light"), ("phone", "dark"))
        found = page.evaluate(
            "options => axe.run(options).then(({violations, passes}) => ({violations, passes: passes.length}))",
            {"resultTypes": ["violations"], **({} if all_rules else {"runOnly": COLOURS})},
        )
        assert found["passes"] > 10 if all_rules else found["passes"] > 0
        grave = [
            (one["id"], [node["html"][:200] for node in one["nodes"]][:3])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert grave == [], size


def test_a_phone_scrolls_only_inside_the_timeline(opened: Seen) -> None:
    page = opened.page
    page.set_viewport_size(SIZES["phone"])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("box => box.scrollWidth > box.clientWidth", page.query_selector(".box:has(.timeline)"))


def test_all_of_it_is_there_without_javascript(browser: Any, file: Path) -> None:
    with look(browser, file, java_script_enabled=False) as seen:
        page = seen.page
        assert not page.is_visible("#filter")
        page.click("details:has-text('NEVER') summary")
        assert page.is_visible("text=It never ran.")
        page.goto(f"{file.as_uri()}#{page.get_attribute('.timeline a', 'href')[1:]}")
        assert page.is_visible(".about >> nth=0")


def test_zoom_hover_filter_and_links(browser: Any, file: Path) -> None:
    with look(browser, file) as seen:
        page = seen.page
        wide = "document.querySelector('.timeline').offsetWidth"
        before = page.evaluate(wide)
        page.click("#in")
        assert page.evaluate(wide) > 1.5 * before
        page.click("#whole")
        assert page.evaluate(wide) == before
        page.hover("tr:has-text('NEVER') .row rect.missed", force=True)
        assert page.inner_text("#hint") == "missing, until now"
        page.fill("#filter", "cube")
        assert [
            row.inner_text().strip() for row in page.query_selector_all(".timeline tbody tr") if row.is_visible()
        ] == ["CUBE"]
        page.fill("#filter", "")
        page.click(".timeline a:has-text('NEVER')")
        page.wait_for_function("document.querySelector('details[open]') !== null")
        assert page.is_visible("text=It never ran.")

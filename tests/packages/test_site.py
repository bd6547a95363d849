"""The documentation as a site: it is built without a warning, whole, and readable without network, on a phone, too."""

import html
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import psycopg
import pytest

from check_jobmon.schema.roles import TABLES
from tests.packages.tools import once
from tests.parsers import commands
from tests.system.test_report import AXE, browser  # noqa: F401
from tests.test_readme import DOCS, README, ROOT

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}


class Page(HTMLParser):
    """What a page links to, what it loads, and which anchors it has."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.anchors.add(attributes.get("id", ""))
        if tag == "a":
            self.links.append(attributes.get("href", ""))
        elif tag == "link" and attributes.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(attributes["href"])
        elif "src" in attributes:
            self.loaded.append(attributes["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as the contributors' page says."""
    pytest.importorskip("sphinx", reason="pip install '.[docs]'")
    pytest.importorskip("furo", reason="pip install '.[docs]'")
    text = (DOCS / "contributing.rst").read_text(encoding="utf-8")
    (command,) = re.findall(r"^    \.venv/bin/sphinx-build (.*) build/site$", text, re.MULTILINE)

    def build(folder: Path) -> None:
        words = [sys.executable, "-m", "sphinx", *command.split(), os.fspath(folder)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    return once(tmp_path_factory, "site", build)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """All pages of the site."""
    return {file: Page(file) for file in sorted(site.rglob("*.html"))}


def text_of(file: Path) -> str:
    """What can be read on a page."""
    return html.unescape(re.sub(r"<[^>]+>", "", file.read_text(encoding="utf-8")))


def test_there_is_a_page_for_each_file_and_each_is_at_the_side_of_all(site: Path, pages: dict[Path, Page]) -> None:
    expected = {site / file.relative_to(DOCS).with_suffix(".html") for file in DOCS.rglob("*.rst")}
    assert expected <= set(pages)
    side = re.findall(
        r'class="toctree-l1"><a class="reference internal" href="([^"]*)"', (site / "index.html").read_text()
    )
    assert {site / link for link in side} == expected - {site / "index.html"}
    assert len(side) == len(set(side))


def test_every_link_within_the_site_leads_to_a_page_and_a_place_on_it(site: Path, pages: dict[Path, Page]) -> None:
    wrong = []
    for file, page in pages.items():
        for link in page.links:
            path, anchor = urldefrag(link)
            if not re.match("[a-z]+:", link):
                target = (file.parent / unquote(path)).resolve() if path else file
                if target not in pages or (anchor and unquote(anchor) not in pages[target].anchors):
                    wrong.append((file.relative_to(site), link))
    assert wrong == []


def test_the_readmes_links_lead_to_pages_and_places(pages: dict[Path, Page], site: Path) -> None:
    links = re.findall(r"<(docs/[^>]*)\.rst(#[^>]*)?>`_", README.read_text(encoding="utf-8"))
    assert len(links) > 15
    for path, anchor in links:
        assert anchor.removeprefix("#") in {"", *pages[site / f"{path.removeprefix('docs/')}.html"].anchors}


def test_nothing_comes_from_the_network(site: Path, pages: dict[Path, Page]) -> None:
    for file, page in pages.items():
        assert page.loaded, file
        for link in page.loaded:
            assert (file.parent / unquote(urldefrag(link)[0].partition("?")[0])).exists(), f"{file}: {link}"
    for file in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", file.read_text(encoding="utf-8")) == [], (
            file
        )


def test_the_reference_has_all_functions_and_columns_with_their_comments(
    site: Path, database: Any, session: psycopg.Connection
) -> None:
    page = re.sub(r"\s+", " ", text_of(site / "reference" / "sql.html"))
    functions = session.execute(
        "SELECT proname, obj_description(oid, 'pg_proc') FROM pg_proc WHERE pronamespace = 'jobmon'::regnamespace"
        " AND obj_description(oid, 'pg_proc') !~ '^(Internal|Trigger of)'"
    ).fetchall()
    assert len(functions) > 25
    columns = session.execute(
        "SELECT relname, attname, split_part(format_type(atttypid, NULL), ' with', 1), col_description(attrelid, attnum)"
        "  FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'jobmon'::regnamespace"
        "   AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped AND relname = ANY (%s)",
        [[*TABLES, "dblink_mapping"]],
    ).fetchall()
    assert len(columns) > 50
    for name, comment in functions:
        assert f" {name}" in page
        for line in comment.splitlines():
            assert " ".join(line.split(": ", 1)[-1].split()) in page, name
    for table, column, kind, comment in columns:
        assert comment, f"{table}.{column} has no comment"
        said = f"{column} {kind.replace('timestamp', 'timestamptz')} {' '.join(comment.split())}"
        assert said in page, f"{table}.{column}"


def test_the_reference_has_all_commands_and_options(site: Path, pages: dict[Path, Page]) -> None:
    anchors = pages[site / "reference" / "commands.html"].anchors
    for command in commands():
        assert f"jobmonctl-{'-'.join(command)}" in anchors
    for option in ("cmdoption-jobmonctl-H", "cmdoption-jobmonctl-run-lock", "cmdoption-jobmonctl-show-n"):
        assert option in anchors
    assert "cmdoption-check_jobmon-perfdata" in pages[site / "reference" / "check_jobmon.html"].anchors
    assert "jobmon_job_last_success_timestamp_seconds" in text_of(site / "guides" / "prometheus.html")


@pytest.fixture(scope="module")
def tab(browser: Any) -> Iterator[Any]:  # noqa: F811
    """A page of a browser that may load nothing but files."""
    page = browser.new_context(viewport=DESK, offline=True).new_page()
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    yield page
    page.close()


def scrolls_sideways(page: Any) -> bool:
    """Whether what is open there is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def only_files(page: Any) -> None:
    """Nothing else has been asked for."""
    assert page.requested
    assert [url for url in page.requested if not url.startswith(("file:", "data:"))] == []


BODY = """
async ([html, address]) => {
  document.querySelector('base').href = address;
  document.body.innerHTML = html;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
}
"""
"""Shows another page's body, as it is without scripts, in place of that which is there."""


def test_no_page_scrolls_sideways_on_a_phone(tab: Any, pages: dict[Path, Page]) -> None:
    """One page is loaded, and gets the bodies of the others, because all have the same styles: that takes a third of the CPU."""
    styles = {
        tuple((file.parent / link).resolve() for link in page.loaded if ".css" in link) for file, page in pages.items()
    }
    assert len(styles) == 1
    tab.set_viewport_size(PHONE)
    tab.goto(next(iter(pages)).as_uri())
    tab.evaluate("document.head.append(document.createElement('base'))")
    wide = []
    for file in pages:
        tab.evaluate(BODY, [file.read_text(encoding="utf-8").partition("<body>")[2], file.as_uri()])
        assert tab.query_selector("article"), file
        if scrolls_sideways(tab):
            wide.append(file.name)
    assert wide == []
    only_files(tab)


def test_search_finds_pages_without_network(tab: Any, site: Path) -> None:
    tab.set_viewport_size(DESK)
    tab.goto(f"{(site / 'search.html').as_uri()}?q=keep_link")
    tab.wait_for_selector("#search-results li a")
    found = [link.get_attribute("href") for link in tab.query_selector_all("#search-results li a")]
    assert any("sql-jobs.html" in str(link) for link in found)


@pytest.mark.parametrize("name", ["index.html", "reference/sql.html", "calendar.html"])
def test_axe_finds_nothing_in_what_is_ours(tab: Any, site: Path, name: str) -> None:
    if not AXE.exists():
        pytest.skip(f"there is no axe-core: .ci/axe-core {AXE.parent.parent}")
    tab.set_viewport_size(PHONE)
    tab.goto((site / name).as_uri())
    assert not scrolls_sideways(tab)
    only_files(tab)
    tab.evaluate(AXE.read_text())
    violations = tab.evaluate(
        "axe.run(document.querySelector('article'), {resultTypes: ['violations']}).then(found => found.violations)"
    )
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in violations] == []

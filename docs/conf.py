"""The documentation as a site: `sphinx-build -W --nitpicky -b html docs build/site`.

The pages are plain reStructuredText, which GitHub shows, too. What only a site has is added here: the list of pages, from the
links of index.rst; links between pages, from those to files; the languages of code; and in place of a comment
`.. made: NAME ARGUMENTS` and of the paragraph that follows it, what made.py makes from the programs and the schema.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import languages  # noqa: E402
import made  # noqa: E402

from check_jobmon import __version__  # noqa: E402

project = "check_jobmon"
author = "The check_jobmon authors"
project_copyright = author
version = release = __version__
language = "en"
exclude_patterns = ["build"]
highlight_language = "none"
smartquotes = False  # they would change code that is quoted in prose
html_theme = "furo"
html_title = f"check_jobmon {__version__}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_permalinks_icon = "#"
ELSEWHERE = {"../README": "index", "../CHANGELOG": "changelog"}
"""Files outside of docs/, and the pages that stand for them."""

logger = logging.getLogger(__name__)


def fill_in(app: Sphinx, name: str, source: list[str]) -> None:
    """Add to a page's text what isn't in its file."""
    text = re.sub(
        r"(?m)^\.\. made: (\w+) ?(.*)\n\n(?:.+\n)+", lambda found: made.made(found[1], found[2].split()), source[0]
    )
    if name == app.config.root_doc:
        text += "".join(toctrees(text))
    source[0] = text


def toctrees(index: str) -> list[str]:
    """For each section of the index that has links, the same pages for the side of the site."""
    titles = re.split(r"(?m)^(\S.*)\n-+\n", index)[1:]
    found = []
    for title, text in zip(titles[::2], titles[1::2], strict=True):
        links = re.findall(r"`([^`<]+)\s<([\w./-]+)\.rst>`_", text)
        lines = "".join(f"   {' '.join(label.split())} <{page}>\n" for label, page in links)
        found.append(f"\n.. toctree::\n   :hidden:\n   :caption: {title}\n\n{lines}" if lines else "")
    return found


def name_languages(app: Sphinx, document: nodes.document) -> None:
    """Give each literal block the language that it is in."""
    for block in document.findall(nodes.literal_block):
        if block.get("language", "none") in ("none", "default"):
            found = languages.language(block.astext())
            block["language"], block["force"] = languages.LEXERS.get(found, found), True


def link_pages(app: Sphinx, document: nodes.document, name: str) -> None:
    """Make links to pages of those to their files."""
    for reference in document.findall(nodes.reference):
        found = re.fullmatch(r"(?![a-z]+:)(.*)\.rst(#.*)?", reference.get("refuri", ""))
        if found:
            path = os.path.normpath(os.path.join(os.path.dirname(name), found[1]))
            page = ELSEWHERE.get(path, path)
            if page not in app.env.found_docs:
                logger.warning("no page %s", path, location=reference)
                continue
            reference["refuri"] = app.builder.get_relative_uri(name, page) + (found[2] or "")
            reference["internal"] = True


def let_keys_scroll(app: Sphinx, name: str, template: str, context: dict[str, Any], document: object) -> None:
    """Let wide code and tables be scrolled from the keyboard, too."""
    if "body" in context:
        context["body"] = re.sub(r'(<pre|<div class="table-wrapper[^>"]*")>', r'\1 tabindex="0">', context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill_in)
    app.connect("doctree-read", name_languages)
    app.connect("doctree-resolved", link_pages)
    app.connect("html-page-context", let_keys_scroll)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

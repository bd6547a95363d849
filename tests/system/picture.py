"""Makes docs/report.png, the picture in README.rst: `python -m tests.system.picture`.

It is the upper part of the page that `jobmonctl demo --report` writes, in Debian's Chromium. Needs playwright, see .ci/run.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.system.daemons import SOURCES, program

PICTURE = SOURCES / "docs" / "report.png"
WIDTH = 1120


def main() -> int:
    """Write the picture."""
    from playwright.sync_api import sync_playwright  # pytest imports this module to look for doctests

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        subprocess.run([sys.executable, "-m", "check_jobmon.ctl", "demo", "--report", folder], check=True, cwd=SOURCES)
        browser = driver.chromium.launch(executable_path=program("chromium", "chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto(Path(folder, "jobs.html").as_uri())
        end = int(page.evaluate("document.querySelector('.note').getBoundingClientRect().bottom")) + 12
        page.screenshot(path=PICTURE, full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": end})
        browser.close()
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

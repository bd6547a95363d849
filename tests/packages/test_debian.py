"""debian/: the packages are built twice the same, lintian has nothing to say, and a new Debian installs, uses and purges them."""

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.packages.tools import run
from tests.system.daemons import SOURCES, program

HERE = Path(__file__).parent


def copied(folder: Path) -> Path:
    """A copy of the work tree in that folder."""
    skipped = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
    shutil.copytree(SOURCES, folder / "check-jobmon", ignore=skipped)
    return folder / "check-jobmon"


def test_the_packages_are_the_same_each_time_and_right(tmp_path: Path) -> None:
    lintian = program("lintian", "lintian")
    program("mmdebstrap", "mmdebstrap")
    program("dpkg-buildpackage", "dpkg-dev debhelper dh-python pybuild-plugin-pyproject python3-all")
    first, second = tmp_path / "one", tmp_path / "elsewhere"
    quickly = {"DPKG_DEB_COMPRESSOR_LEVEL": "0"}
    run("dpkg-buildpackage", "-us", "-uc", "-b", cwd=copied(first), **quickly)
    # the packages alone, without what dpkg-buildpackage writes about them
    run("debian/rules", "binary", cwd=copied(second), **quickly)
    packages = sorted(first.glob("*.deb"))
    assert [package.name.partition("_")[0] for package in packages] == ["check-jobmon", "jobmonctl"]
    for package in packages:
        sums = {hashlib.sha256((folder / package.name).read_bytes()).hexdigest() for folder in (first, second)}
        assert len(sums) == 1, package.name
    said = run(lintian, "--allow-root", *map(str, first.glob("*.changes")))
    assert not re.search(r"^[EW]: ", said, re.M), said

    if os.geteuid():
        pytest.skip("only root can make a root for the packages")
    root = tmp_path / "root"
    root.mkdir()
    isolated = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--uts", "--ipc"]
    files = map(str, (*packages, HERE / "clean_root.sh"))
    said = run(*isolated, "bash", str(HERE / "new_root.sh"), str(root), *files)
    assert "plugin_output=JOBMON OK - All jobs run successfully" in said
    assert said.endswith("nothing is left\n")

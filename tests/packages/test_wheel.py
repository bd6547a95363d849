"""The sdist and the wheel: what is in them, that either way gives the same one, and that pipx and uv install it."""

import ast
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import docutils.nodes
import pytest

from check_jobmon import __version__
from tests.packages.tools import once
from tests.test_readme import DOCS, parsed

SOURCES = Path(__file__).parent.parent.parent
CHANGED = "1750000000"
"""When the sources were last changed, as the release script tells it (SOURCE_DATE_EPOCH)."""
UV = (sys.executable, "-m", "uv")
BUILD = (sys.executable, "-m", "build", "--installer", "uv")
"""uv installs setuptools in a tenth of the time that pip needs."""


@dataclass(frozen=True)
class Dist:
    """A copy of the checkout, of what git has, and what was built from it."""

    checkout: Path
    sdist: Path
    wheel: Path
    said: str


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What it prints. It finds no compiler on PATH, and nothing of this environment but where packages come from."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_", "LC_"))}
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    home = cwd / "home"
    home.mkdir(exist_ok=True)
    environment = {"PATH": str(home), "HOME": str(home), "SOURCE_DATE_EPOCH": CHANGED, **kept, **proxies, **environment}
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout[-5000:])
    return done.stdout


@functools.cache
def as_pip() -> dict[str, str]:
    """Variables by which uv, which pipx uses, too, finds packages where pip does: uv reads none of pip's configuration."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found = re.findall(r"(?m)^[\w:]+\.([\w-]+)=('.*')$", listed.stdout)
    settings = {name: " ".join(ast.literal_eval(setting).split()) for name, setting in found}
    variables = {"cert": "SSL_CERT_FILE", "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX"}
    named = {variables[name]: setting for name, setting in settings.items() if name in variables}
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **named}


def files(folder: str = ".") -> set[str]:
    """The files below that folder which git has, or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "-z", folder]
    listed = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout of git's")
    return {name for name in listed.stdout.split("\0") if name and (SOURCES / name).exists()}


def builder(factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Builds as BUILD does, in an environment that has setuptools already: to make one is half of the CPU of a build."""

    def make(folder: Path) -> None:
        run(*UV, "venv", "-q", "--python", sys.executable, "--no-python-downloads", "venv", cwd=folder)
        run(*UV, "pip", "install", "--python", "venv/bin/python", "build", "setuptools", cwd=folder, **as_pip())

    python = once(factory, "builder", make) / "venv/bin/python"
    return str(python), "-m", "build", "--no-isolation"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Dist:
    """Built from the files of the checkout."""
    for tool in ("build", "twine", "pipx", "uv"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"{tool} is not installed: pip install build twine pipx uv, in the tests' environment")

    def build(folder: Path) -> None:
        for name in files():
            (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCES / name, folder / "checkout" / name)
        said = run(*builder(tmp_path_factory), "-o", folder / "built", folder / "checkout", cwd=folder)
        (folder / "said").write_text(said)

    folder = once(tmp_path_factory, "dist", build)
    (sdist,), (wheel,) = (folder / "built").glob("*.tar.gz"), (folder / "built").glob("*.whl")
    return Dist(folder / "checkout", sdist, wheel, (folder / "said").read_text())


def test_the_sdist_is_all_of_the_checkout(dist: Dist) -> None:
    with tarfile.open(dist.sdist) as archive:
        packed = {member.name.partition("/")[2]: member for member in archive if member.isfile()}
        made = {name for name in packed if name in ("PKG-INFO", "setup.cfg") or ".egg-info/" in name}
        assert packed.keys() - made == files() - {"setup.cfg"}
        for name in packed.keys() - made:
            content = archive.extractfile(packed[name])
            assert content
            assert content.read() == (SOURCES / name).read_bytes(), name
            assert packed[name].mode & 0o111 == (SOURCES / name).stat().st_mode & 0o111, name


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(dist: Dist) -> None:
    with zipfile.ZipFile(dist.wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert packed == files("check_jobmon")
        assert {Path(name).suffix for name in packed} > {".sql", ".txt", ".j2", ".css", ".js", ".typed"}
        for name in packed:
            assert archive.read(name) == (SOURCES / name).read_bytes(), name
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        assert f"\nVersion: {__version__}\n" in archive.read(metadata).decode()


def test_the_checkout_gives_the_wheel_that_the_sdist_gives(dist: Dist, tmp_path: Path) -> None:
    # another folder, newer files, another time zone, an environment of its own; the wheel in `dist` was built from the sdist
    checkout = shutil.copytree(dist.checkout, tmp_path / "elsewhere", copy_function=shutil.copy)
    run(*BUILD, "--wheel", "-o", "built", checkout, cwd=tmp_path, TZ="Asia/Tokyo", **as_pip())
    (wheel,) = (tmp_path / "built").iterdir()
    assert wheel.name == dist.wheel.name == f"check_jobmon-{__version__}-py3-none-any.whl"
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == hashlib.sha256(dist.wheel.read_bytes()).hexdigest()


def test_neither_setuptools_nor_twine_has_anything_to_say(dist: Dist, tmp_path: Path) -> None:
    assert not re.search(r"deprecat|^!!", dist.said, re.I | re.M), dist.said
    said = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", dist.sdist, dist.wheel, cwd=tmp_path)
    assert (said.count("PASSED"), said.count("WARNING")) == (2, 0), said


def test_pipx_and_uv_install_the_programs_as_the_guide_says(dist: Dist, tmp_path: Path) -> None:
    """Each for a user of its own. The second finds in uv's cache the wheel that the first has built."""
    (section,) = [
        found
        for found in parsed(DOCS / "guides/installing.rst").findall(docutils.nodes.section)
        if found[0].astext() == "The programs"
    ]
    lines = [line for block in section.findall(docutils.nodes.literal_block) for line in block.astext().splitlines()]
    where = shutil.copytree(dist.checkout, tmp_path / "checkout")
    settings = {"UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never", "UV_CACHE_DIR": str(tmp_path / "cache")}
    for installer in ("pipx", "uv tool"):
        (command,) = [line for line in lines if line.startswith(f"{installer} install")]
        words = [word.strip("'") for word in command.split()]
        home = tmp_path / installer
        home.mkdir()
        run(sys.executable, "-m", *words, cwd=where, HOME=str(home), **settings, **as_pip())
        for program in ("check_jobmon", "jobmonctl"):
            done = subprocess.run(
                [home / ".local/bin" / program, "--version"], capture_output=True, text=True, check=False
            )
            assert (done.stdout, done.stderr) == (f"{program} {__version__}\n", ""), installer


def test_the_wheel_shows_the_demo(dist: Dist, tmp_path: Path) -> None:
    # by uv: pip takes ten times as long, and installs the checkout in `.ci/run` and in test_debian_install.py
    run(*UV, "venv", "-q", "--python", sys.executable, "--no-python-downloads", "venv", cwd=tmp_path)
    packages = ("--only-binary", ":all:", f"{dist.wheel}[demo]")
    run(*UV, "pip", "install", "--python", "venv/bin/python", *packages, cwd=tmp_path, **as_pip())
    said = run("venv/bin/jobmonctl", "demo", cwd=tmp_path, PATH="/usr/bin:/bin")
    assert re.search(r"^JOBMON CRITICAL - \d+ critical, \d+ warning, \d+ ok: ", said, re.M), said


def test_every_dependency_has_one_lower_bound() -> None:
    """`.ci/run` tests on exactly these."""
    parser = ConfigParser()
    parser.read(SOURCES / "setup.cfg")
    lists = [parser["options"]["install_requires"], *parser["options.extras_require"].values()]
    bounds: dict[str, str] = {}
    for line in "\n".join(lists).split("\n"):
        if line and line != "tzdata":  # which is data, the newer the better
            match = re.fullmatch(r"([\w-]+)(?:\[\w+\])? >= ([\d.]+)(?:, < \d+)?", line)
            assert match, line
            assert bounds.setdefault(match[1], match[2]) == match[2], line

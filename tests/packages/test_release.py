"""contrib/release, in a repository of its own: what it refuses, and what it leaves when it doesn't."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from check_jobmon import __version__
from tests.database import run_module
from tests.packages.test_wheel import SOURCES, as_pip, builder, files

DATE = "2026-11-27"
TESTS = "#!/bin/sh\necho all tests run\n"


ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    **dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), "/dev/null"),
    "PYTHON": sys.executable,
}
"""With no configuration of git's but the repository's."""
QUICK_PYTHON = f"""#!/bin/sh
python={sys.executable}
case "$*" in
    "-m build "*) shift 2; exec $BUILD "$@" ;;
    "-m cyclonedx_py "*) exec $python "$@" --no-validate ;;
    "-m venv "*)
        $python -m venv --without-pip "$3"
        printf '#!/bin/sh\\nexec %s -m uv pip "$@" --python "%s"\\n' $python "$3" > "$3/bin/pip"
        exec chmod +x "$3/bin/pip" ;;
esac
exec $python "$@"
"""
"""This Python, for which uv does what pip would: in a tenth of the time. BUILD is the command that builds. CycloneDX doesn't
verify what it has written."""


def git(repository: Path, *command: str) -> str:
    """What git prints."""
    done = subprocess.run(
        ["git", *command], cwd=repository, capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, (command, done)
    return done.stdout


def commit(repository: Path) -> None:
    """All that is there."""
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "A change")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What git has here, and is to be released there: the changelogs have the version, and the tests always pass."""
    repository = tmp_path / "check_jobmon"
    for name in files():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCES / name, repository / name)
    change(
        repository, "CHANGELOG.rst", "Unreleased\n----------\n", f"Unreleased\n----------\n\n\n{heading(__version__)}"
    )
    (repository / ".ci/run").write_text(TESTS)
    git(repository, "init", "--quiet", "--initial-branch", "main")
    git(repository, "config", "user.name", "A maintainer")
    git(repository, "config", "user.email", "maintainer@example.com")
    commit(repository)
    return repository


def heading(version: str) -> str:
    """The beginning of the version's section."""
    title = f"{version} - {DATE}"
    return f"{title}\n{'-' * len(title)}\n"


def change(repository: Path, name: str, old: str, new: str) -> None:
    """Replace that text, which is there, in a file."""
    file = repository / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def release(repository: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    command = [str(repository / "contrib/release"), *options]
    environment = {**ENVIRONMENT, **variables}
    return subprocess.run(command, cwd="/", capture_output=True, text=True, env=environment, check=False)


def new_version(repository: Path, version: str) -> None:
    """Commit that as the version, in all places."""
    change(repository, "check_jobmon/__init__.py", f'"{__version__}"', f'"{version}"')
    change(repository, "CHANGELOG.rst", heading(__version__), f"{heading(version)}\n\n{heading(__version__)}")
    change(repository, "debian/changelog", f"({__version__})", f"({version})")
    change(repository, "contrib/rpm/check_jobmon.spec", f"        {__version__}\n", f"        {version}\n")
    commit(repository)


def test_what_can_be_no_release_is_refused_in_one_sentence(repository: Path) -> None:
    empty, where = "Unreleased\n----------\n", "check_jobmon/__init__.py"
    changes = {
        ("CHANGELOG.rst", heading(__version__), ""): f'CHANGELOG.rst has no section "{__version__} - ',
        ("CHANGELOG.rst", empty, f"{empty}\nAdded\n~~~~~\n\n* News\n\n"): (
            f'CHANGELOG.rst still has changes under "Unreleased" ("Added"): move them into the section {__version__}\n'
        ),
        ("debian/changelog", f"({__version__})", "(0.0.9)"): (
            f"debian/changelog begins with version 0.0.9 instead of {__version__}: add an entry"
        ),
        ("contrib/rpm/check_jobmon.spec", f" {__version__}\n", " 0.0.9\n"): (
            f"contrib/rpm/check_jobmon.spec has version 0.0.9 instead of {__version__}: change it"
        ),
        (where, f'"{__version__}"', '"1.0"'): f'{where} has the version "1.0": give it three numbers, as 1.2.3\n',
    }
    for (name, old, new), said in changes.items():
        change(repository, name, old, new)
        first = "commit or remove these changes first, or ignore the files:\n"
        refused(release(repository), f"{first} M {name}\n")
        commit(repository)
        refused(release(repository), said)
        git(repository, "reset", "--quiet", "--hard", "HEAD~")
    (repository / "notes").touch()
    refused(release(repository), f"{first}?? notes\n")
    (repository / "notes").unlink()
    git(repository, "switch", "--quiet", "--create", "fix")
    refused(release(repository), "this is fix: releases are made on main (git switch main)\n")
    git(repository, "switch", "--quiet", "--detach")
    refused(release(repository), "this is no branch: releases are made on main (git switch main)\n")
    refused(release(repository, "--force"), "there is no option --force: usage: contrib/release [--passed]\n")
    assert git(repository, "tag") == ""
    assert not (repository / "dist").exists()


def refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    """It has done nothing but say that."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"release: {said}"), done.stderr


def test_only_a_greater_version_than_that_of_all_tags_is_released(repository: Path) -> None:
    git(repository, "tag", "v9.9.0")
    git(repository, "tag", "v9.10.0")
    for version in ("9.9.1", "9.10.0"):
        new_version(repository, version)
        refused(
            release(repository),
            f"version {version} is not greater than that of the tag v9.10.0: change __version__ in ",
        )
        git(repository, "reset", "--quiet", "--hard", "HEAD~")
    change(repository, ".ci/run", "echo all tests run\n", "exit 3\n")
    new_version(repository, "9.11.0")
    refused(release(repository), ".ci/run has not passed: nothing is tagged or built\n")
    said = "something was changed or committed during .ci/run: nothing is tagged or built\n"
    last = "exit 3"
    for meanwhile in ("echo >> README.rst", "git commit -q --allow-empty -m Meanwhile"):
        change(repository, ".ci/run", last, meanwhile)
        commit(repository)
        last = meanwhile
        refused(release(repository), said)
        git(repository, "checkout", "--quiet", ".")
    assert set(git(repository, "tag").split()) == {"v9.9.0", "v9.10.0"}


def test_a_release_is_tagged_and_built_and_nothing_else(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = repository.parent / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    git(repository, "config", "gpg.format", "ssh")
    git(repository, "config", "user.signingkey", str(key))
    git(repository, "init", "--quiet", "--bare", str(repository.parent / "origin"))
    git(repository, "remote", "add", "origin", str(repository.parent / "origin"))
    python = repository.parent / "python"
    python.write_text(QUICK_PYTHON)
    python.chmod(0o755)
    build = " ".join(builder(tmp_path_factory))
    done = release(repository, PYTHON=str(python), BUILD=build, **as_pip())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        f"all tests run\nrelease: this commit has the tag v{__version__}, which is signed; dist/ has\n"
    )
    assert "Nothing is published. What is left to do" in done.stdout
    assert git(repository, "rev-list", "-n1", f"v{__version__}") == git(repository, "rev-parse", "HEAD")
    assert "BEGIN SSH SIGNATURE" in git(repository, "cat-file", "tag", f"v{__version__}")
    assert git(repository, "ls-remote", "origin") == ""
    assert git(repository, "status", "--porcelain") == ""

    dist = repository / "dist"
    names = [f"check_jobmon-{__version__}{ending}" for ending in ("-py3-none-any.whl", ".cdx.json", ".tar.gz")]
    assert [file.name for file in sorted(dist.iterdir())] == names
    changed = int(git(repository, "log", "-1", "--format=%ct"))
    with zipfile.ZipFile(dist / names[0]) as archive:
        assert {entry.date_time[:5] for entry in archive.infolist()} == {time.gmtime(changed)[:5]}
    parts = {part["name"] for part in json.loads((dist / names[1]).read_text())["components"]}
    assert parts >= {"check_jobmon", "nagiosplugin", "psycopg", "psycopg-binary", "PyYAML", "rich", "Jinja2"}

    said = f"version {__version__} is not greater than that of the tag v{__version__}: "
    refused(release(repository, "--passed"), said)


def test_the_version_is_in_one_place_and_the_packages_changelogs_agree() -> None:
    assert run_module("check_jobmon", "--version").stdout == f"check_jobmon {__version__}\n"
    assert run_module("check_jobmon.ctl", "--version").stdout == f"jobmonctl {__version__}\n"
    assert (SOURCES / "debian/changelog").read_text().startswith(f"check-jobmon ({__version__}) ")
    spec = (SOURCES / "contrib/rpm/check_jobmon.spec").read_text()
    assert re.findall(r"^Version: *(.*)", spec, re.M) == [__version__]
    assert spec.partition("%changelog\n")[2].split("\n")[0].endswith(f" - {__version__}-1")
    known = ("check_jobmon/__init__.py", "CHANGELOG.rst", "debian/changelog", "contrib/rpm/check_jobmon.spec")
    others = [
        name
        for name in files()
        if name not in known and not name.startswith(("tests/", "docs/"))
        if re.search(rf"check.jobmon\D{{1,3}}{re.escape(__version__)}", (SOURCES / name).read_text(errors="replace"))
    ]
    assert others == []


def test_the_changelog_s_sections_are_those_of_keep_a_changelog() -> None:
    text = (SOURCES / "CHANGELOG.rst").read_text()
    versions = re.findall(r"^(.+)\n-+$", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert [name for name in versions[1:] if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", name)] == []
    kinds = re.findall(r"^(.+)\n~+$", text, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

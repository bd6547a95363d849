"""contrib/rpm: packages for Enterprise Linux 9, built here with the macros of that: what is in them. They are not installed."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from check_jobmon import __version__
from tests.packages.tools import once, run
from tests.parsers import commands
from tests.system.daemons import DEBIAN_PYTHON, SOURCES, program
from tests.test_readme import DOCS, literal_blocks

RPM = SOURCES / "contrib/rpm"
SPEC = RPM / "check_jobmon.spec"
INSTALLING = DOCS / "guides/installing.rst"
NAMES = ("check_jobmon", "jobmonctl")
TIMERS = "jobmonctl-bootstrap.timer jobmonctl-clear.timer"


@dataclass(frozen=True)
class Packages:
    """The two packages, and a root into which they are unpacked."""

    folder: Path
    root: Path

    def file(self, name: str) -> str:
        """The package of that name."""
        return str(self.folder / f"RPMS/noarch/{name}-{__version__}-1.el9.noarch.rpm")

    def ask(self, name: str, *what: str) -> list[str]:
        """What rpm -q says of a package, line by line."""
        return run("rpm", "--dbpath", str(self.folder / "db"), "-qp", *what, self.file(name)).splitlines()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Built from what is in the work tree, and from the wheels that the spec names."""
    program("rpmbuild", "rpm")
    folder = once(tmp_path_factory, "rpm", fill)
    return Packages(folder, folder / "root")


def fill(folder: Path) -> None:
    """Build both packages in that folder, and unpack them into its folder root."""
    sources = folder / "SOURCES"
    sources.mkdir()
    tree = folder / f"check_jobmon-{__version__}"
    shutil.copytree(SOURCES, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist"))
    run("tar", "-czf", str(sources / f"{tree.name}.tar.gz"), tree.name, cwd=folder)
    (build,) = [block for block in literal_blocks(INSTALLING) if "rpmbuild -bb" in block]
    download = re.search(r"(?ms)^python3\.12 -m pip .*?[^\\]$", build)
    assert download
    python = download[0].replace("python3.12", sys.executable, 1).replace("~/rpmbuild/SOURCES", str(sources))
    subprocess.run(["bash", "-euc", python], cwd=SOURCES, check=True, capture_output=True)
    assert len(list(sources.glob("*.whl"))) == 5
    # not compressed: nobody sends these packages anywhere
    places = {"_topdir": folder, "_dbpath": folder / "db"}
    defined = {**places, "jobmon_python": DEBIAN_PYTHON, "_binary_payload": "w0.ufdio"}
    options = [word for name, value in defined.items() for word in ("-D", f"{name} {value}")]
    run("rpmbuild", "-bb", "--nodeps", "--load", str(RPM / "macros.el9"), *options, str(SPEC))
    built = Packages(folder, folder / "root")
    built.root.mkdir()
    for name in NAMES:
        run("sh", "-c", 'rpm2cpio "$1" | cpio -idm --quiet', "sh", built.file(name), cwd=built.root)


def test_rpmlint_has_nothing_to_say(packages: Packages) -> None:
    said = run(program("rpmlint", "rpmlint"), "-c", str(RPM / "rpmlint.toml"), *map(packages.file, NAMES), str(SPEC))
    assert re.search(r"\b0 errors, 0 warnings\b", said), said


def test_each_package_has_its_files_and_leaves_those_of_a_site_alone(packages: Packages) -> None:
    files = {name: packages.ask(name, "-l") for name in NAMES}
    assert not set(files["check_jobmon"]) & set(files["jobmonctl"])
    assert {"/usr/bin/check_jobmon", "/usr/share/man/man5/jobs.yml.5.gz"} < set(files["check_jobmon"])
    assert os.readlink(packages.root / "usr/lib64/nagios/plugins/check_jobmon") == "../../../bin/check_jobmon"
    assert (packages.root / "usr/lib64/nagios/plugins/check_jobmon").resolve() == packages.root / "usr/bin/check_jobmon"
    for path in commands():
        assert f"/usr/share/man/man1/jobmonctl-{'-'.join(path)}.1.gz" in files["jobmonctl"]
    for name in NAMES:
        for place in ("bash-completion/completions/{}", "zsh/site-functions/_{}", "fish/vendor_completions.d/{}.fish"):
            assert f"/usr/share/{place.format(name)}" in files[name]
    there = {"jobmonctl": ["sysconfig"], "check_jobmon": ["icinga2/conf.d", "nagios/conf.d"]}
    for name, folders in there.items():
        assert [re.sub("/check_jobmon.*", "", file) for file in packages.ask(name, "-c")] == [
            f"/etc/{f}" for f in folders
        ]
        flags = packages.ask(name, "--queryformat", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]")
        assert [line.split()[1] for line in flags if line.startswith("/etc/")] == ["cn"] * len(folders)
    assert "# Examples" not in (packages.root / "etc/nagios/conf.d/check_jobmon.cfg").read_text()


def test_no_path_of_the_machine_that_built_it_is_left(packages: Packages) -> None:
    texts = [file for file in packages.root.rglob("*") if file.is_file() and not file.is_symlink()]
    compiled = [file for file in texts if file.suffix == ".pyc"]
    assert len(compiled) > 150
    wrong = [
        file
        for file in texts
        if str(packages.folder).encode() in file.read_bytes() or b"BUILDROOT" in file.read_bytes()
    ]
    assert wrong == []
    units = "".join(file.read_text() for file in (packages.root / "usr/lib/systemd/system").iterdir())
    assert "/etc/sysconfig/check_jobmon" in units
    assert "/etc/default" not in units


def test_the_timers_are_stopped_when_they_are_removed_and_nothing_is_started(packages: Packages) -> None:
    scripts = "\n".join(packages.ask("jobmonctl", "--scripts"))
    assert f"install-system-units {TIMERS}" in scripts  # which follows the distribution's presets: disabled
    assert f"remove-system-units {TIMERS}" in scripts
    assert "%" not in scripts
    assert packages.ask("check_jobmon", "--scripts") == []


def test_what_they_require_comes_from_the_distribution_and_what_is_bundled_is_named(packages: Packages) -> None:
    required = {
        word for line in packages.ask("check_jobmon", "--requires") if (word := line.split()[0])[:7] != "rpmlib("
    }
    assert required == {DEBIAN_PYTHON, "config(check_jobmon)", "libpq", "python(abi)", "python3.12dist(pyyaml)"}
    bundled = dict(
        re.findall(
            r"(?m)^bundled\(python3dist\((\S+)\)\) = (\S+)$", "\n".join(packages.ask("check_jobmon", "--provides"))
        )
    )
    folders = {folder.name for folder in (packages.root / "usr/share/check_jobmon").glob("*.dist-info")}
    assert folders == {f"{name.replace('-', '_')}-{version}.dist-info" for name, version in bundled.items()}


def test_the_programs_run(packages: Packages) -> None:
    where, programs = str(packages.root / "usr/share/check_jobmon"), packages.root / "usr/bin"
    assert run(str(programs / "jobmonctl"), "--version", PYTHONPATH=where) == f"jobmonctl {__version__}\n"
    plugin = [str(programs / "check_jobmon"), "-H", "/nowhere"]
    done = subprocess.run(plugin, env={"PYTHONPATH": where}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith('JOBMON CRITICAL - connection to server on socket "/nowhere/')

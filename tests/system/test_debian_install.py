"""The commands of README.rst and docs/guides that install the programs and contrib/ on Debian, run as they are there.

They run as root in a mount namespace of their own. What they write below /etc, /opt, /usr/local or /var goes into a layer that is
gone afterwards, and /usr/local is empty before.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docutils.nodes
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, Output
from tests.packages.tools import once
from tests.servers import create
from tests.system.conftest import log_run
from tests.system.daemons import SOURCES, program
from tests.test_readme import DOCS, README, parsed

INSTALLING, MONITORING = DOCS / "guides/installing.rst", DOCS / "guides/nagios-icinga.rst"
PROMETHEUS = DOCS / "guides/prometheus.rst"
QUESTIONS = DOCS / "questions.rst"
DEBIAN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAYERED = ("/etc", "/opt", "/run", "/usr/lib/nagios", "/var/lib", "/var/log")
NEW_MACHINE = f"""
set -e
mkdir "$0/layers" && mount -t tmpfs layers "$0/layers"
cp -L /etc/hosts /etc/resolv.conf "$0/layers/" 2>/dev/null || true
for folder in {" ".join(LAYERED)}; do
    layer=$0/layers/$(echo $folder | tr / _)
    mkdir -p $layer/upper $layer/work $folder
    mount -t overlay layer -o lowerdir=$folder,upperdir=$layer/upper,workdir=$layer/work $folder
done
cp "$0/layers/hosts" "$0/layers/resolv.conf" /etc/ 2>/dev/null || true
rm -rf /opt/check_jobmon
mount -t tmpfs empty /usr/local && mkdir /usr/local/bin
echo ready
exec cat
"""
"""Makes the namespace, and keeps it until stdin is closed. A container's hosts and resolv.conf are mounts of
their own, which the layer would lack."""
LOOPBACK = """/usr/bin/python3 -c "
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1))
"
"""
"""Switches a new network namespace's loopback interface on (SIOCSIFFLAGS, IFF_UP)."""


FAILED = "JOBMON CRITICAL - 1 critical, 0 ok: NIGHTLY ETL failed 1 time (load facts: duplicate key)"
"""What the plugin says of the server's job."""


@dataclass(frozen=True)
class Machine:
    """A Debian machine on which nobody has installed check_jobmon, and a checkout on it."""

    pid: int
    checkout: Path

    def run(self, command: str, *, wrapped_in: tuple[str, ...] = ()) -> Output:
        """What root's shell gives for a command, in the checkout."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTHON", "VIRTUAL_ENV"))
        }
        done = subprocess.run(
            [
                "nsenter",
                f"--mount=/proc/{self.pid}/ns/mnt",
                *wrapped_in,
                "bash",
                "-c",
                f'cd "$0" && {command}',
                self.checkout,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            env={**kept, "PATH": DEBIAN_PATH, "LC_ALL": "C.UTF-8"},
            check=False,
        )
        return Output(done.returncode, done.stdout, done.stderr)

    def succeed(self, command: str) -> str:
        """What a command prints that must not fail."""
        done = self.run(command)
        assert done.status == 0, (command, done)
        return done.stdout


def block(page: Path, title: str, beginning: str = "") -> str:
    """The literal block of the page's section that begins so."""
    (section,) = [s for s in parsed(page).findall(docutils.nodes.section) if s[0].astext() == title]
    texts = [str(b.astext()) for b in section.findall(docutils.nodes.literal_block)]
    return next(text for text in texts if text.startswith(beginning))


def follow(machine: Machine, commands: str) -> str:
    """Run a page's commands in one shell, as a person would; return what they print.

    apt-get and systemctl are not run, because packages are what .ci/daemons installs, and systemd is not running here. It is only
    asserted that the packages are installed and, afterwards, that the units exist.
    """
    lines, units = [], []
    for line in commands.splitlines():
        match line.split():
            case ["apt-get", "install", *packages]:
                for package in packages:
                    state = machine.run(f"dpkg-query -W -f '${{db:Status-Status}}' {package}").stdout
                    assert state == "installed", f"{package}: run .ci/daemons"
            case ["systemctl", "daemon-reload"]:
                pass
            case ["systemctl", "enable", "--now", *names] | ["systemctl", "reload", *names]:
                units += names
            case _:
                lines.append(line)
    printed = machine.succeed(" && ".join(lines))
    for unit in units:
        file = unit if unit.endswith(".timer") else f"{unit}.service"
        machine.succeed(f"ls /etc/systemd/system/{file} || ls /lib/systemd/system/{file}")
    return printed


@contextlib.contextmanager
def new_machine(folder: Path) -> Iterator[Machine]:
    """A machine that is gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("only root can install the programs for all users")
    checkout = folder / "check_jobmon"
    shutil.copytree(SOURCES, checkout, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__"))
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", NEW_MACHINE, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        if process.stdout.readline() != "ready\n":
            pytest.skip(f"root can't mount anything here: {process.stderr.read().strip()}")
        yield Machine(process.pid, checkout)
        process.stdin.close()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The machine after the commands of "The programs", which have run with the umask of a cautious root.

    They run once for all of pytest's processes. Each of those has a machine of its own, and copies what they have written.
    """
    with new_machine(tmp_path_factory.mktemp("machine")) as machine:

        def install(folder: Path) -> None:
            follow(machine, f"umask 077\n{block(INSTALLING, 'The programs')}")
            machine.succeed(f"cp -a /opt/check_jobmon /usr/local/bin {folder}")

        installed = once(tmp_path_factory, "programs", install)
        machine.succeed(f"cp -a {installed}/check_jobmon /opt/ && cp -a {installed}/bin /usr/local/")
        yield machine


def as_nagios(command: str) -> str:
    """The command as the user that Debian's packages run Nagios, Icinga 2 and NRPE as."""
    return f"setpriv --reuid=nagios --regid=nagios --clear-groups env -i HOME=/var/lib/nagios {command}"


def test_pip_alone_is_refused_as_the_page_says(machine: Machine) -> None:
    if not list(Path("/usr/lib").glob("python3*/EXTERNALLY-MANAGED")):
        pytest.skip("this system lets pip install into it")
    refused = machine.run("/usr/bin/python3 -m pip install .")
    assert refused.status == 1
    assert "externally-managed-environment" in refused.stderr
    assert "externally-managed-environment" in INSTALLING.read_text()


def test_every_user_finds_the_programs_and_they_run(machine: Machine) -> None:
    for name in ("check_jobmon", "jobmonctl"):
        assert machine.succeed(f"command -v {name}") == f"/usr/local/bin/{name}\n"
        assert machine.run(as_nagios(f"/usr/local/bin/{name} --help")).stdout.startswith(f"usage: {name}")


QUICKLY = """\
mkdir ../tools
ln -s /usr/lib/python3/dist-packages/wheel* ../tools
export PYTHONPATH=$PWD/../tools PIP_NO_BUILD_ISOLATION=0
"""
"""Has pip build without an environment of its own: of what that needs, the programs' environment has all but wheel."""


def test_the_same_commands_upgrade_the_programs(machine: Machine) -> None:
    file = machine.checkout / "check_jobmon" / "__init__.py"
    text = file.read_text()
    file.write_text(re.sub('__version__ = ".*?"', '__version__ = "99.1"', text))
    try:
        follow(machine, f"{QUICKLY}{block(INSTALLING, 'The programs')}")
        assert machine.run("check_jobmon --version").stdout == "check_jobmon 99.1\n"
    finally:
        file.write_text(text)


def test_the_readme_has_the_same_commands() -> None:
    assert block(INSTALLING, "The programs").splitlines()[:-1] == block(README, "Installation").splitlines()


def test_cron_and_systemd_have_their_files(machine: Machine) -> None:
    for beginning in ("install -m 644 contrib/cron", "install -m 644 contrib/systemd"):
        follow(machine, block(INSTALLING, "Every day, by cron or systemd", beginning))
    assert machine.succeed("stat -c '%a %U %G' /etc/cron.d/check_jobmon") == "644 root root\n"
    assert machine.succeed("ls /etc/systemd/system/jobmonctl-*").count("\n") == 4


@pytest.fixture
def linked(machine: Machine) -> Machine:
    """The machine after the commands of "Where each file goes"."""
    follow(machine, block(MONITORING, "Where each file goes"))
    return machine


def test_the_table_says_where_the_files_are_copied() -> None:
    text = MONITORING.read_text()
    rows = dict(re.findall(r"^``(contrib/\S+)`` +``(\S+)``", text, re.MULTILINE))
    assert len(rows) == 3
    assert rows == dict(re.findall(r"^    install -m 644 (\S+) (\S+)$", text, re.MULTILINE))


def test_nagios_takes_the_file_and_its_commands_name_the_plugin(linked: Machine) -> None:
    program("nagios4", "nagios4-core")
    verified = follow(linked, block(MONITORING, "Nagios 4"))
    assert "Things look okay - No serious problems were detected" in verified
    assert re.search(r"Total Warnings: 0\s+Total Errors:   0", verified)
    (folder,) = re.findall(r"^\$USER1\$=(.*)$", linked.succeed("cat /etc/nagios4/resource.cfg"), re.MULTILINE)
    lines = re.findall(
        r"^ *command_line +(\S+check_jobmon) ", linked.succeed("cat /etc/nagios4/conf.d/check_jobmon.cfg"), re.M
    )
    assert len(lines) == 2
    for line in lines:
        plugin = line.replace("$USER1$", folder)
        assert linked.run(as_nagios(f"{plugin} --help")).stdout.startswith("usage: check_jobmon")


def test_icinga_takes_the_file_and_its_command_names_the_plugin(linked: Machine) -> None:
    program("icinga2", "icinga2-bin icinga2-common")
    verified = follow(linked, block(MONITORING, "Icinga 2"))
    assert "Finished validating the configuration file(s)" in verified
    (folder,) = re.findall(
        r'^const PluginContribDir = "(.*)"$', linked.succeed("cat /etc/icinga2/constants.conf"), re.M
    )
    (name,) = re.findall(
        r'^  command = \[ PluginContribDir \+ "(.*)" \]$',
        linked.succeed("cat /etc/icinga2/conf.d/check_jobmon.conf"),
        re.M,
    )
    command = folder + name
    assert linked.run(as_nagios(f"{command} --help")).stdout.startswith("usage: check_jobmon")


@pytest.fixture(scope="module")
def debian_server() -> Iterator[tuple[Server, Path]]:
    """A server with the pg_hba.conf of Debian's packages, the check's role and a failed job in its database etl; and the folder
    of its socket, which everybody can reach. No test changes them."""
    sockets = Path(tempfile.mkdtemp(dir="/tmp"))
    server = Server(tcp=True)
    server.settings["unix_socket_directories"] = f"{server.folder},{sockets}"
    try:
        sockets.chmod(0o755)
        shutil.chown(sockets, "nobody")
        create(server)
        (server.data / "pg_hba.conf").write_text(
            "local all postgres peer map=superuser\nlocal all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        (server.data / "pg_ident.conf").write_text("superuser root postgres\n")
        server.start()
        with Database(server, "postgres").connect() as session:
            session.execute("CREATE DATABASE etl")
        etl = Database(server, "etl")
        assert etl.ctl("bootstrap").status == 0
        with etl.connect() as session:
            session.execute(block(MONITORING, "The role and its password").encode())
            session.execute("INSERT INTO jobmon.job_check_config VALUES ('NIGHTLY ETL', '25 hours', '2 days', true, 0)")
            log_run(session, "nightly etl", "duplicate key")
        yield server, sockets
    finally:
        server.remove()
        shutil.rmtree(sockets, ignore_errors=True)


def test_the_user_of_the_daemons_checks_with_the_password_in_its_file(
    machine: Machine, debian_server: tuple[Server, Path]
) -> None:
    server, _ = debian_server
    create = block(MONITORING, "The role and its password", "install ")
    line = block(MONITORING, "The role and its password", "db.example.com:")
    machine.succeed(f"{create} && echo '{line.replace('5432', str(server.port))}' > /var/lib/nagios/.pgpass")
    machine.succeed("echo 127.0.0.1 db.example.com >> /etc/hosts")
    answer = machine.run(f"export PGPORT={server.port} && {block(MONITORING, 'The role and its password', 'su ')}")
    assert (answer.status, answer.first_line) == (2, FAILED), answer


def test_prometheus_has_its_files(machine: Machine) -> None:
    program("prometheus-node-exporter", "prometheus-node-exporter")
    follow(machine, block(PROMETHEUS, "The textfile collector"))
    assert machine.succeed("stat -c '%U' /var/lib/prometheus/node-exporter") == "prometheus\n"
    assert "SUCCESS: 7 rules found" in follow(machine, block(PROMETHEUS, "Prometheus"))


def test_nrpe_runs_the_plugin_on_the_socket_of_debians_server(
    linked: Machine, debian_server: tuple[Server, Path]
) -> None:
    program("nrpe", "nagios-nrpe-server")
    program("check_nrpe", "nagios-nrpe-plugin")
    server, sockets = debian_server
    linked.succeed(
        "mkdir -p /run/postgresql /run/nagios && chown nagios /run/nagios"
        f" && ln -sf {sockets}/.s.PGSQL.{server.port} /run/postgresql/.s.PGSQL.5432"
        " && echo 127.0.0.1 db.example.com >> /etc/hosts"
    )
    install = block(MONITORING, "NRPE")
    follow(linked, install)
    ask = block(MONITORING, "NRPE", "/usr/lib/nagios/plugins/check_nrpe")
    # in a network of its own, because the machine's port 5666 may be in use
    answer = linked.run(
        f"""{LOOPBACK}
        nrpe -c /etc/nagios/nrpe.cfg -f > /var/log/nrpe.out 2>&1 & nrpe=$!
        for try in $(seq 100); do
            answer=$({ask} 2>&1); status=$?
            case $answer in *"Connection refused"*) sleep 0.1 ;; *) break ;; esac
        done
        kill $nrpe
        echo "$answer"
        exit $status""",
        wrapped_in=("unshare", "--net"),
    )
    assert (answer.status, answer.first_line) == (2, FAILED), answer


def test_all_of_it_can_be_removed(linked: Machine) -> None:
    installed = "find /etc /opt /usr/local /usr/lib/nagios -name '*check_jobmon*' -prune -o -name 'jobmonctl*'"
    for title, beginning in (("Nagios 4", ""), ("Icinga 2", ""), ("NRPE", "")):
        follow(linked, block(MONITORING, title, beginning))
    for beginning in ("install -m 644 contrib/cron", "install -m 644 contrib/systemd"):
        follow(linked, block(INSTALLING, "Every day, by cron or systemd", beginning))
    for title, beginning in (
        ("The textfile collector", "apt"),
        ("The textfile collector", "install"),
        ("Prometheus", ""),
    ):
        follow(linked, block(PROMETHEUS, title, beginning))
    assert linked.succeed(installed).count("\n") == 4 + 3 + 1 + 4 + 4
    linked.succeed("mkdir ../kept && cp -a /opt/check_jobmon /usr/local/bin ../kept")
    try:
        follow(linked, block(QUESTIONS, "How do I get rid of it?", "rm "))
        assert linked.succeed(installed) == ""
    finally:
        # for the other tests
        linked.succeed("cp -a ../kept/check_jobmon /opt/ && cp -a ../kept/bin /usr/local/")

"""NRPE: runs the plugin by the commands in contrib/, and check_nrpe gets all of what it printed."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.database import Database, Output
from tests.system.conftest import FourStates
from tests.system.daemons import CONTRIB, Place, Plugin, free_port, listens, program

CONTRIB_FILE = CONTRIB / "nrpe" / "check_jobmon.cfg"
TARGETS = "/usr/lib/nagios/plugins/check_jobmon --targets /etc/check_jobmon.yml "
EXAMPLE = "/usr/lib/nagios/plugins/check_jobmon -d etl -U nagios "


def _adapted(contrib: str, plugin: Plugin, database: Database) -> str:
    """Contrib's file as a site edits it: the plugin's place, the database, and how to connect to it."""
    assert contrib.count(EXAMPLE) + contrib.count(TARGETS) == contrib.count("command[") > 1
    return contrib.replace(EXAMPLE, f"{plugin.folder}/check_jobmon {' '.join(database.tcp_options)} ")


@dataclass(frozen=True)
class Nrpe:
    """An NRPE daemon's port, and the program to ask it."""

    place: Place
    check_nrpe: str
    port: int

    def ask(self, command: str, *options: str) -> Output:
        """What check_nrpe gives for a command."""
        options = ("-D", "-H", "127.0.0.1", "-p", str(self.port), "-t", "30", *options)
        return self.place.run(self.check_nrpe, *options, "-c", command)


@contextlib.contextmanager
def running(place: Place, commands: str) -> Iterator[Nrpe]:
    """An NRPE daemon with these commands."""
    nrpe = Nrpe(place, program("check_nrpe", "nagios-nrpe-plugin"), free_port())
    place.make("nrpe.d")
    place.write("nrpe.d/check_jobmon.cfg", commands)
    configuration = place.write(
        "nrpe.cfg",
        f"""
server_address=127.0.0.1
server_port={nrpe.port}
allowed_hosts=127.0.0.1
nrpe_user={place.user.pw_name}
nrpe_group={place.group}
pid_file={place.folder}/nrpe.pid
log_file={place.folder}/nrpe.log
disable_syslog=1
command_timeout=60
include_dir={place.folder}/nrpe.d
""",
    )
    with place.daemon(program("nrpe", "nagios-nrpe-server"), "-c", str(configuration), "-f") as daemon:
        daemon.until(lambda: listens(nrpe.port), "NRPE accepts connections")
        yield nrpe


def test_check_nrpe_gets_the_whole_output_and_the_exit_status(
    place: Place, plugin: Plugin, four_states: FourStates
) -> None:
    contrib = CONTRIB_FILE.read_text()
    adapted = [
        _adapted(contrib, plugin, database).replace("command[", f"command[{database.name}_") for database in four_states
    ]
    with running(place, "\n".join(adapted)) as nrpe:
        for state, database in enumerate(four_states):
            for command in ("check_jobmon", "check_jobmon_verbose"):
                got = nrpe.ask(f"{database.name}_{command}")
                printed = plugin.printed(database)
                assert got == Output(state, printed.stdout, ""), (database.name, command)
                if database is four_states.critical:
                    assert len(got.stdout.encode()) > 8000  # all that the plugin prints at most


def test_what_nrpe_2_cuts_can_be_made_to_fit(place: Place, plugin: Plugin, four_states: FourStates) -> None:
    commands = _adapted(CONTRIB_FILE.read_text(), plugin, four_states.critical)
    short = re.search(r"--max-output \d+", commands)
    assert short
    commands += "".join(
        line.replace("[check_jobmon]", "[short]") + f" {short[0]}\n"
        for line in commands.splitlines()
        if "[check_jobmon]" in line
    )
    with running(place, commands) as nrpe:
        cut = nrpe.ask("check_jobmon", "-2")
        printed = plugin.printed(four_states.critical)
        assert cut.status == 2
        assert cut.stdout != printed.stdout
        assert printed.stdout.startswith(cut.stdout.rstrip("\n"))
        got = nrpe.ask("short", "-2")
        printed = plugin.printed(four_states.critical)
        assert got == Output(2, printed.stdout, "")
        assert "left out (--max-output 1000)" in got.stdout


def test_many_targets_in_one_line(place: Place, plugin: Plugin, four_states: FourStates) -> None:
    server = four_states.ok.server
    hosts = "".join(
        f"  {one.name}: {{host: 127.0.0.1, port: {server.port}, dbname: {one.name}, user: postgres}}\n"
        for one in (four_states.ok, four_states.critical)
    )
    file = place.write("targets.yml", "hosts:\n" + hosts)
    commands = CONTRIB_FILE.read_text().replace(TARGETS, f"{plugin.folder}/check_jobmon --targets {file} ")
    with running(place, commands) as nrpe:
        got = nrpe.ask("check_jobmon_targets")
    assert got.status == 2
    assert got.first_line.startswith(f"JOBMON CRITICAL - 1 critical, 1 ok: {four_states.critical.name}: ")

"""--submit nagios: where nobody reads, where the pipe is full, and what passes through it. Without Nagios itself."""

import contextlib
import os
import re
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.database import Database
from tests.plugin.faults.plugin import Running
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.test_checks import check
from tests.plugin.test_cli import HOURLY, run_job

COMMAND = re.compile(r"\[\d{10}\] PROCESS_SERVICE_CHECK_RESULT;([^;]+);([^;]+);([0-3]);(JOBMON .*)")


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    """The path of a command file."""
    path = tmp_path / "nagios.cmd"
    os.mkfifo(path)
    return str(path)


class Reader:
    """Reads a command file as Nagios does, until it is closed."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR)
        self.data = b""
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while select.select([self.file], [], [], 0.1)[0] or not self.over.is_set():
            if select.select([self.file], [], [], 0)[0]:
                self.data += os.read(self.file, 65536)

    @property
    def lines(self) -> list[str]:
        """All commands."""
        return self.data.decode().splitlines()


@contextlib.contextmanager
def reading(path: str) -> Iterator[Reader]:
    """A reader, all of whose commands are there in the end."""
    reader = Reader(path)
    reader.thread.start()
    try:
        yield reader
    finally:
        reader.over.set()
        reader.thread.join()
        os.close(reader.file)


def test_each_result_is_one_command_of_one_line(
    database: Database, session: psycopg.Connection, targets: Targets, pipe: str
) -> None:
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl", r"C:\temp; a | b")
    with reading(pipe) as reader:
        output = check("--targets", targets({"db": database.parameters}), "--submit", f"nagios:{pipe}", "--per-job")
    assert output.first_line == f"JOBMON OK - 2 results taken by nagios:{pipe} (1 critical, 0 ok)"
    assert re.fullmatch(r"taken=2 refused=0 time=[\d.]+s;;;0", output.perfdata)
    assert output.status == 0
    own, job = (COMMAND.fullmatch(line) for line in reader.lines)
    assert own
    assert job
    assert own.groups()[:3] == ("db", "JOBMON", "2")
    first, *more = own[4].split(r"\n")
    assert first.startswith(r"JOBMON CRITICAL - 1 critical, 0 ok: ETL failed 1 time (load facts: C:\\temp; a ¦ b) | ")
    assert more == [r"CRITICAL ETL: failed 1 time (load facts: C:\\temp; a ¦ b)"]
    assert job.groups()[:3] == ("db", "JOBMON ETL", "2")
    assert job[4].startswith(r"JOBMON CRITICAL - ETL: failed 1 time (load facts: C:\\temp; a ¦ b) | 'ETL age'=")


def test_commands_of_several_at_once_are_whole_and_short_enough_not_to_mix(
    database: Database, session: psycopg.Connection, targets: Targets, pipe: str
) -> None:
    session.cursor().executemany(HOURLY, [(f"JOB \\{number}", 0) for number in range(100)])
    file = targets({f"db{number}": database.parameters for number in range(15)})
    with reading(pipe) as reader, contextlib.ExitStack() as stack:
        plugins = [
            stack.enter_context(Running("--targets", file, "--submit", f"nagios:{pipe}", timeout=50)) for _ in range(3)
        ]
        outputs = [plugin.output() for plugin in plugins]
    assert [output.status for output in outputs] == [0, 0, 0]
    assert len(reader.lines) == 3 * 15
    for line in reader.lines:
        command = COMMAND.fullmatch(line)
        assert command, line
        assert 3000 < len(line.encode()) <= 4096
        text, *long_output = command[4].split(r"\n")
        assert long_output[-1].startswith("left out (--max-output ")
        assert all(re.fullmatch(r"[^ =]+=\S*|'[^'=]+'=\S+", item) for item in _items(text.partition(" | ")[2]))


def _items(perfdata: str) -> list[str]:
    return re.findall(r"(?:'[^']*'|[^ '])+", perfdata)


def test_nobody_reads(database: Database, targets: Targets, pipe: str) -> None:
    output = check("--targets", targets({"db": database.parameters}), "--submit", f"nagios:{pipe}")
    assert output.stdout == f"JOBMON CRITICAL - nobody reads {pipe}: see that Nagios runs\n"
    assert output.status == 2


def test_nobody_goes_on_reading(database: Database, session: psycopg.Connection, targets: Targets, pipe: str) -> None:
    session.cursor().executemany(HOURLY, [(f"JOB {number}", 0) for number in range(100)])
    file = targets({f"db{number}": database.parameters for number in range(40)})
    reader = os.open(pipe, os.O_RDWR)
    try:
        output = check("--targets", file, "--submit", f"nagios:{pipe}", timeout=8)
    finally:
        os.close(reader)
    found = re.match(r"JOBMON CRITICAL - (\d+) of 40 results not taken by nagios:", output.stdout)
    assert found
    assert 1 <= int(found[1]) < 40
    assert f"db39!JOBMON: {pipe} is full, and nobody reads on: see that Nagios is not stopped" in output.long_output
    assert output.status == 2


def test_a_path_that_is_nothing_of_nagios_s(database: Database, targets: Targets, tmp_path: Path) -> None:
    file = targets({"db": database.parameters})
    path = tmp_path / "x"
    output = check("--targets", file, "--submit", f"nagios:{path}")
    assert (
        output.stdout
        == f"JOBMON CRITICAL - there is no {path}: see that Nagios runs, and command_file in its nagios.cfg\n"
    )
    assert output.status == 2
    path.write_text("precious")
    output = check("--targets", file, "--submit", f"nagios:{path}")
    assert output.stdout == f"JOBMON UNKNOWN - {path} is neither Nagios's command file nor a directory\n"
    assert output.status == 3
    assert path.read_text() == "precious"


@pytest.mark.parametrize("way", ["pipe", "folder"])
def test_a_target_that_can_be_no_host_of_nagios_s_is_named_and_hinders_no_other(
    database: Database, targets: Targets, pipe: str, tmp_path: Path, way: str
) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    names = ("db;DROP", "db|x", "db\nx", "O'BRIEN", "a=b")
    file = targets(dict.fromkeys((*names, "fine"), database.parameters))
    with reading(pipe) as reader:
        output = check("--targets", file, "--submit", f"nagios:{pipe if way == 'pipe' else folder}")
    assert output.status == 2
    assert output.stdout.startswith("JOBMON CRITICAL - 5 of 6 results not taken by nagios:")
    assert output.long_output.count("!JOBMON: Nagios allows no host with ") == len(names)
    if way == "pipe":
        (command,) = (COMMAND.fullmatch(line) for line in reader.lines)
        assert command
        assert command[1] == "fine"
    else:
        (result,) = folder.glob("c??????")
        assert re.findall("^host_name=(.*)$", result.read_text(), re.M) == ["fine"]


def test_a_result_file_is_complete_before_nagios_may_take_it(
    database: Database, empty_database: Database, targets: Targets, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    file = targets({"a": database.parameters, "b": empty_database.parameters})
    assert check("--targets", file, "--submit", f"nagios:{folder}", "--service-name", "jobs").status == 0
    result, ok = sorted(folder.iterdir())
    assert re.fullmatch("c[A-Za-z0-9]{6}", result.name)
    assert (ok.name, ok.stat().st_size) == (f"{result.name}.ok", 0)
    assert result.stat().st_mode & 0o777 == 0o644
    head, *blocks = result.read_text().strip().split("\n\n")
    assert re.fullmatch(r"file_time=\d{10}", head)
    fields = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
    assert [(f["host_name"], f["service_description"], f["return_code"]) for f in fields] == [
        ("a", "jobs", "0"),
        ("b", "jobs", "3"),
    ]


def test_targets_that_do_not_answer_leave_time_to_submit(database: Database, targets: Targets, pipe: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent, reading(pipe) as reader:
        place = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        file = targets({"silent": place, "fine": database.parameters})
        output = check("--targets", file, "--submit", f"nagios:{pipe}", "-v", timeout=4)
    assert output.first_line == f"JOBMON OK - 2 results taken by nagios:{pipe} (1 critical, 1 ok)"
    assert re.match(r"CRITICAL silent: no answer within [\d.]+s while connecting", output.long_output)
    assert [line.split(";")[1:4] for line in reader.lines] == [["silent", "JOBMON", "2"], ["fine", "JOBMON", "0"]]

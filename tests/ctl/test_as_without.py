"""jobmonctl run, compared with the same command run bare: same bytes, status, files, environment, signals and job control."""

import contextlib
import fcntl
import itertools
import os
import pty
import resource
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests import warm
from tests.ctl.test_run import JOBMONCTL, NOWHERE
from tests.database import Database, new_database, until, value

PROBE = r"""
import fcntl, os, resource, signal, stat, sys, termios
names = sorted(os.listdir("/proc/self/fd"), key=int)
with open("/proc/self/environ", "rb") as file:
    print(file.read())
with open("/proc/self/status") as file:
    # Python itself ignores two of them
    print([line for line in file if line.startswith("SigBlk")])
print([s for s in signal.valid_signals() if signal.getsignal(s) == signal.SIG_IGN])
for name in names:
    try:
        print(name, stat.S_IFMT(os.fstat(int(name)).st_mode))
    except OSError:
        pass  # it was that of the listing
print(os.umask(0), os.getcwd(), sys.argv, os.nice(0), os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid())
print([resource.getrlimit(limit) for limit in range(16)])
for number in range(3):
    try:
        print(os.isatty(number), termios.tcgetattr(number), os.get_terminal_size(number), fcntl.fcntl(number, fcntl.F_GETFL))
    except (OSError, termios.error) as error:
        print(error)
"""
NUMBERS = itertools.count(1)
PYTHON = ["/usr/bin/python3", "-S"]
"""A Python that starts in a third of the time that the tests' own takes."""
CRON = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "nobody", "HOME": "/", "ODD": "\udcff = x"}
ENVIRONMENTS = {
    "cron": CRON,
    "cron with a locale": {**CRON, "LC_CTYPE": "C.UTF-8", "LANG": "C"},
    "a terminal's": {**CRON, "LANG": "C.UTF-8", "TERM": "xterm"},
}
IGNORED = "import signal as s; print(s.getsignal(s.SIGCHLD), s.getsignal(s.SIGHUP))"
SCRIPTS = {
    "bytes": r"printf '\000\377\n\r\n'; printf '\001' >&2; exit 4",
    "stdin": "cat; exit 5",
    "signal": "kill -TERM $$",
    "crash": "kill -SEGV $$",
    "realtime signal": "kill -40 $$",
    "session of its own": "exec setsid sh -c 'echo in; exit 6'",
    "left behind": "(read x <$GATE; echo late) & echo now; echo $! >$GATE",
    "no stdout": "exec >&-; echo out; exit 7",
    "group": "trap 'echo got it; exit 8' TERM; kill -TERM 0; sleep 10",
    "ignored": f"trap '' CHLD HUP; exec {' '.join(PYTHON)} -c '{IGNORED}'",
}

AS_PROCESSES = ("stdin", "group")


@pytest.fixture(scope="module")
def database(server: Server, template: str) -> Iterator[Database]:
    """One for all: each test has a job of its own."""
    with new_database(server, template) as database:
        yield database


@pytest.fixture
def through(database: Database, tmp_path: Path) -> list[str]:
    """What comes before a command."""
    return [JOBMONCTL, "run", f"ETL_{next(NUMBERS)}", *database.options, "--spool", str(tmp_path / "spool"), "--"]


def message(session: psycopg.Connection, through: list[str]) -> str:
    """What has been logged of the command that was run through it."""
    query = "SELECT message FROM jobmon.job_detail JOIN jobmon.job_log USING (job_id) WHERE job_name = %s"
    return str(value(session, query, through[2]))


def piped(argv: list[str], **options: Any) -> tuple[int, bytes, bytes]:
    """Run it without a terminal, as cron does: what came of it."""
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False, input=b"in\0\xff", **options)
    return done.returncode, done.stdout, done.stderr


def can_be_forked(argv: list[str]) -> bool:
    """Whether it is jobmonctl, which a fork runs for a tenth of the CPU that a process takes to start."""
    return argv[0] == JOBMONCTL and warm.same_in_a_fork(sys.executable, argv[1:], os.environ)


def piped_apart(argv: list[str], closed: Sequence[int] = ()) -> tuple[int, bytes, bytes]:
    """The same with nothing on stdin and the streams `closed`; jobmonctl in a fork."""
    if can_be_forked(argv):
        return warm.run(sys.executable, "check_jobmon.ctl", argv[1:], os.environ, 60, closed)
    shut = "".join(f" {number}>&-" for number in closed)
    argv = ["sh", "-c", f'exec "$@"{shut}', "sh", *argv] if closed else argv
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


class _Streams:
    """A file or a pipe for stdout and for stderr, as a shell opens them."""

    def __init__(self, stdout: str, stderr: str) -> None:
        self._pipes: list[int] = []
        out = self._opened(stdout)
        self.both = (out, out if stderr == "&1" else self._opened(stderr))

    def _opened(self, where: str) -> int:
        if where:
            way = os.O_APPEND if where.startswith(">>") else os.O_TRUNC
            return os.open(where.lstrip(">"), os.O_WRONLY | os.O_CREAT | way)
        reading, writing = os.pipe()
        self._pipes.append(reading)
        return writing

    def read(self) -> list[bytes]:
        """What came through the pipes, which is little, once it has ended."""
        for file in {*self.both}:
            os.close(file)
        said = []
        for pipe in self._pipes:
            with open(pipe, "rb") as reading:
                said.append(reading.read())
        return said


def to_files(argv: list[str], stdout: str, stderr: str) -> tuple[int, list[bytes]]:
    """Its status with the streams in these files (>>file: appended), or &1, or nothing for a pipe; and what came through pipes.

    As with a shell's `"$@" >stdout 2>stderr`; jobmonctl in a fork.
    """
    streams = _Streams(stdout, stderr)
    if can_be_forked(argv):
        status = _Fork(argv[1:], streams.both).wait(60)
    else:
        out, err = streams.both
        status = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=60, check=False
        ).returncode
    return status, streams.read()


@contextlib.contextmanager
def terminal(
    argv: list[str], **environment: str
) -> "Iterator[tuple[Callable[[], int], int, Callable[[bytes], bytes]]]":
    """Have it run at a terminal of its own, jobmonctl in a fork.

    Gives what waits for its exit status, the terminal, and what reads until something is printed.
    """
    if can_be_forked(argv):
        master, slave = pty.openpty()
        fork = warm.OnTerminal(sys.executable, "check_jobmon.ctl", argv[1:], {**os.environ, **environment}, slave)
        os.close(slave)
    else:
        pid, master = pty.fork()
        if pid == 0:
            os.execvpe(argv[0], argv, {**os.environ, **environment})
    ended: list[int] = []

    def wait() -> int:
        if not ended:
            ended.append(fork.wait(60) if can_be_forked(argv) else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return ended[0]

    printed = bytearray()

    def read(what: bytes = b"") -> bytes:
        until = time.monotonic() + 60
        with contextlib.suppress(OSError):
            while (not what or what not in printed) and select.select(
                [master], [], [], max(0, until - time.monotonic())
            )[0]:
                data = os.read(master, 4096)
                if not data:
                    break
                printed.extend(data)
        assert what in printed, bytes(printed)
        at = printed.index(what) + len(what) if what else len(printed)
        found = bytes(printed[:at])
        del printed[:at]
        return found

    try:
        yield wait, master, read
    finally:
        os.close(master)
        wait()


@pytest.mark.parametrize(
    ("environment", "leads"), [*((name, False) for name in ENVIRONMENTS), (next(iter(ENVIRONMENTS)), True)]
)
def test_all_that_a_process_is_given_is_the_same(through: list[str], environment: str, leads: bool) -> None:
    probe = [*PYTHON, "-c", PROBE, "an argument", "\udcfe"]
    extra, other = os.pipe()
    options: dict[str, Any] = {"env": ENVIRONMENTS[environment], "pass_fds": [extra], "umask": 0o027, "cwd": "/usr"}
    options["start_new_session"] = leads
    bare = piped(probe, **options)
    assert bare[0] == 0
    given = piped([*through, *probe], **options)
    os.close(extra)
    os.close(other)
    if leads:  # of a group as without us, but of no session
        given = (given[0], given[1].replace(b"True False\n", b"True True\n"), given[2])
    assert given == bare


@pytest.mark.parametrize("script", SCRIPTS)
def test_output_and_status_are_the_same(through: list[str], tmp_path: Path, script: str) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = ["sh", "-c", SCRIPTS[script].replace("$GATE", str(gate))]
    if script in AS_PROCESSES:
        outer = ["sh", "-c", '"$@"; s=$?; exit $s', "sh"] if script == "group" else []
        bare, given = (piped([*outer, *before, *command], start_new_session=True) for before in ([], through))
    else:
        bare, given = (piped_apart([*before, *command]) for before in ([], through))
    assert given == bare


NULL = "import os, sys; open(sys.argv[1], 'w').write(str((os.fstat(1), os.isatty(2)))); "
NULL += "print('why', file=sys.stderr); sys.exit(9)"


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [("/dev/null", ""), ("/dev/null", "&1"), ("/dev/zero", "/dev/null"), ("/dev/full", ""), ("", "/dev/null")],
)
def test_what_is_discarded_costs_the_log_no_message(
    through: list[str], session: psycopg.Connection, tmp_path: Path, stdout: str, stderr: str
) -> None:
    """Nor has the command another stdout: tar reads no file where that is /dev/null."""
    seen = []
    for before in ([], through):
        told = tmp_path / "told"
        done = to_files([*before, *PYTHON, "-c", NULL, str(told)], stdout, stderr)
        seen.append((done, told.read_text() if stdout else ""))
    assert seen[1] == seen[0]
    assert message(session, through) == "exit status 9: why"


@pytest.mark.parametrize("number", [1, 2])
def test_two_appends_to_one_file_are_one_output(
    through: list[str], session: psycopg.Connection, tmp_path: Path, number: int
) -> None:
    log = f">>{tmp_path}/log"
    to_files([*through, "sh", "-c", f"echo why >&{number}; exit 3"], log, log)
    assert message(session, through) == "exit status 3: why"


OWN = "import os, sys; n = 0\n"
OWN += "for i in range(30):\n try: n += os.write(1, b'line %d\\n' % i)\n except OSError as e: n = -e.errno\n"
OWN += "f = os.fstat(1); print(n, f.st_size, os.lseek(1, 0, 1), file=sys.stderr); sys.exit(9)"


@pytest.mark.parametrize("to", ["/dev/full", "file", "appended", "both"])
def test_a_file_is_the_commands_own(through: list[str], session: psycopg.Connection, tmp_path: Path, to: str) -> None:
    """It sees what it would have seen: where it is in the file, that the disk is full; and the log has its end nevertheless."""
    seen = []
    for number, before in enumerate(([], through)):
        file = tmp_path / f"out{number}"
        file.write_text("before\n")
        where = {"appended": f">>{file}", "/dev/full": to}.get(to, str(file))
        done = to_files([*before, *PYTHON, "-c", OWN], where, "&1" if to == "both" else "")
        seen.append((done, file.read_bytes()))
    assert seen[1] == seen[0]
    assert seen[0][0][0] == 9
    logged = message(session, through)
    if to == "/dev/full":
        assert logged.startswith("exit status 9: -28 ")
    else:
        assert logged.splitlines()[-3 if to != "both" else -2].endswith("line 28" if to != "both" else "line 29")


def test_a_file_that_may_have_nothing_ends_it_as_without_us(through: list[str], tmp_path: Path) -> None:
    seen = []
    for number, before in enumerate(([], through)):
        file = tmp_path / f"out{number}"
        limited = ["sh", "-c", f'ulimit -f 0; "$@" >"{file}"', "sh"]
        seen.append((piped([*limited, *before, *PYTHON, "-c", OWN]), file.read_bytes()))
    assert [found[0][0] for found in seen] == [153, 153] or seen[0] == seen[1]


def test_streams_that_are_closed_are_so_for_the_command(through: list[str], tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f'ls /proc/self/fd >"{told}"; cat; echo out; echo err >&2; exit 3'
    for closed in ((0,), (1,), (2,), (0, 1, 2)):
        shut = " ".join(f"{number}>&-" for number in closed)
        seen = []
        for before in ([], through):
            done = piped(["sh", "-c", f'"$@" {shut}', "sh", *before, "sh", "-c", script])
            seen.append((done, told.read_text()))
        assert seen[1] == seen[0], closed
    for two in ((0, 1), (0, 2), (1, 2)):
        seen = []
        for before in ([], through):
            seen.append((piped_apart([*before, "sh", "-c", script], two), told.read_text()))
        assert seen[1] == seen[0], two


def test_a_script_without_an_interpreter_is_the_shells(through: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$0" "$@"; exit 3\n')
    script.chmod(0o755)
    bare = piped_apart(["sh", "-c", 'exec "$@"', "sh", str(script), "a  b"])
    assert bare[0] == 3
    assert piped_apart([*through, str(script), "a  b"]) == bare
    found = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    bare = piped(["sh", "-c", 'exec "$@"', "sh", "script", "a  b"], env=found)
    assert bare[0] == 3
    assert piped([*through, "script", "a  b"], env=found) == bare


def test_many_inherited_descriptors_are_no_obstacle(through: list[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("too few descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    null = os.open(os.devnull, os.O_RDWR)
    many = [os.dup(null) for _ in range(1100)]
    try:
        bare = piped(["sh", "-c", "ls /proc/self/fd; exit 3"], pass_fds=many)
        assert piped([*through, "sh", "-c", "ls /proc/self/fd; exit 3"], pass_fds=many) == bare
    finally:
        for descriptor in (*many, null):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("limit", "amount"), [("NPROC", 1), ("NPROC", 2), ("NPROC", 3), ("NOFILE", 5), ("NOFILE", 7), ("AS", 80 * 2**20)]
)
def test_what_can_not_be_had_costs_the_log_alone(tmp_path: Path, limit: str, amount: int) -> None:
    """Processes and threads, descriptors, memory: the command works, and one line says what is missing."""

    def limited() -> None:
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (amount, amount))

    # root may have any number of processes, but root's Python may not be for others to execute
    other = ["setpriv", "--reuid", "54321", "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    user = other if os.geteuid() == 0 else []
    command = ["/bin/sh", "-c", "echo out; exit 3"]
    where = [*NOWHERE, "--spool", str(tmp_path / "spool"), "--"]
    status, stdout, stderr = piped([*user, JOBMONCTL, "run", "etl", *where, *command], preexec_fn=limited, cwd="/")
    assert (status, stdout) == (3, b"out\n"), stderr
    assert stderr.startswith(b"jobmonctl run: ")
    assert 1 <= stderr.count(b"\n") <= 2
    assert b"Traceback" not in stderr


PASSED_ON = ("HUP", "INT", "QUIT", "TERM", "USR1", "ALRM", "ABRT", "VTALRM")


@pytest.mark.parametrize("to", ["process", "group"])
@pytest.mark.parametrize("names", [PASSED_ON, ("KILL",)], ids=["handled", "deadly"])
def test_signals_have_the_same_effect(through: list[str], to: str, names: tuple[str, ...]) -> None:
    """Sent to the process, or to the group that it is in and doesn't lead, as under cron: once each, to the same processes."""
    traps = "".join(f"trap 'echo {name}' {name};" for name in names)
    shell = f"exec 2>/dev/null; {traps} echo ready; while read x; do echo $x; done; exit 5"
    # a leader that outlives them; in it the child that the signals are sent to
    outer = f'trap : {" ".join(PASSED_ON)}; sh -c \'echo $$; exec "$@"\' sh "$@"; echo = $?'
    seen = []
    for before in ([], through):
        with subprocess.Popen(
            ["bash", "-c", outer, "bash", *before, "bash", "-c", shell],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            target = int(process.stdout.readline())
            assert process.stdout.readline() == b"ready\n"
            lines = []
            for name in names:
                number = signal.Signals[f"SIG{name}"]
                if to == "process":
                    os.kill(target, number)
                elif number != signal.SIGKILL:
                    os.killpg(process.pid, number)
                else:  # all but the leader, which says how they ended
                    for pid in _group(process.pid) - {process.pid}:
                        os.kill(pid, number)
                if number != signal.SIGKILL:
                    lines.append(process.stdout.readline())
            process.stdin.write(b"over\n")
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            seen.append((lines, process.stdout.read()))
    assert seen[1] == seen[0]


def _group(leader: int) -> set[int]:
    found = subprocess.run(["pgrep", "-g", str(leader)], capture_output=True, check=False, text=True).stdout
    return {int(pid) for pid in found.split()}


CATCHABLE = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
TAKER = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
print("ready", flush=True)
while (number := signal.sigwait(signal.valid_signals())) != signal.SIGTERM:
    print(int(number), flush=True)
"""


def test_the_command_gets_every_signal_that_it_would_get(through: list[str]) -> None:
    for before in ([], through):
        with subprocess.Popen(
            [*before, sys.executable, "-c", TAKER], stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            seen = []
            for number in CATCHABLE:
                if number != signal.SIGTERM:
                    process.send_signal(number)
                    seen.append(int(process.stdout.readline()))
            process.terminate()
        assert [*seen, signal.SIGTERM] == sorted(CATCHABLE, key=lambda number: (number == signal.SIGTERM, number))
        assert process.returncode == 0


class _Fork:
    """jobmonctl in a fork: what `_ends` has of a process. Without streams of its own it has a pipe as stdout."""

    def __init__(self, arguments: list[str], streams: tuple[int, int] | None = None) -> None:
        reading, writing = os.pipe()
        self.stdout = open(reading, "rb")  # noqa: SIM115
        with open(os.devnull, "wb") as null, open(writing, "wb"):
            streams = streams or (writing, null.fileno())
            self._told = warm._start(sys.executable, "check_jobmon.ctl", arguments, os.environ, streams)
        self._pid = int(self._read_until(b" "))

    def send_signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def wait(self, seconds: float) -> int:
        self._told.settimeout(seconds)
        status = int(self._read_until(b""))
        self._told.close()
        self.stdout.close()
        return status

    def _read_until(self, end: bytes) -> bytes:
        said = b""
        while not end or not said.endswith(end):
            byte = self._told.recv(1)
            if not byte:
                break
            said += byte
        return said


def _bare(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)


def _behind_us(command: list[str], spool: Path) -> "subprocess.Popen[bytes] | _Fork":
    arguments = ["run", "etl", *NOWHERE, "--spool", str(spool), "--", *command]
    if warm.same_in_a_fork(sys.executable, arguments, os.environ):
        return _Fork(arguments)
    return _bare([JOBMONCTL, *arguments])


def _ends(start: "Callable[[list[str]], subprocess.Popen[bytes] | _Fork]", numbers: Sequence[int]) -> list[int]:
    """How a shell ends that is sent each of the signals: one shell for each, eight at once."""
    ends = []
    for first in range(0, len(numbers), 8):
        some = numbers[first : first + 8]
        started = [start(["sh", "-c", "echo ready; exec sleep 60"]) for _ in some]
        for number, process in zip(some, started, strict=True):
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
        for process in started:
            ends.append(process.wait(60))
            assert process.stdout is not None
            process.stdout.close()
    return ends


SURVIVED = {
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
    # they stop nobody whose group has no parent in the session
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
}
"""The signals that a program doesn't end of by itself."""


def test_every_signal_ends_what_it_ends_without_us_and_nothing_else(tmp_path: Path) -> None:
    """Without a log, for whose sake so many programs would wait for each other; and in forks, which end as processes would.

    Of the realtime signals, which are all alike, the first and the last; that each is passed on, the test before this one shows.
    """
    deadly = [number for number in CATCHABLE if number <= signal.SIGRTMIN or number == signal.SIGRTMAX]
    deadly = [number for number in deadly if number not in SURVIVED]
    bare = _ends(_bare, deadly)
    assert bare == [-number for number in deadly]
    assert _ends(lambda command: _behind_us(command, tmp_path / "spool"), deadly) == bare
    where = [*NOWHERE, "--spool", str(tmp_path / "spool"), "--"]
    for before in ([], [JOBMONCTL, "run", "etl", *where]):
        with subprocess.Popen(
            [*before, "sh", "-c", "echo ready; read x; exit 5"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            for number in sorted(SURVIVED):
                process.send_signal(number)
            process.communicate(b"over\n", timeout=60)
        assert process.returncode == 5, before


def test_a_stopped_command_is_continued(through: list[str]) -> None:
    with subprocess.Popen(
        [*through, "sh", "-c", "echo ready; kill -STOP $$; echo continued"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        (command,) = _children_once(process)
        until(lambda: _is_stopped(command))
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert process.stdout.read() == b"continued\n"
    assert process.returncode == 0


def _children_once(process: "subprocess.Popen[bytes]") -> list[int]:
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_an_alarm_that_was_set_before_reaches_the_command(through: list[str]) -> None:
    alarm = ["/usr/bin/env", sys.executable, "-c"]
    alarm += ["import os, signal, sys; signal.alarm(1); os.execvp(sys.argv[1], sys.argv[1:])"]
    for before in ([], through):
        assert piped([*alarm, *before, "sleep", "1000"])[0] == -signal.SIGALRM


def test_a_terminal_that_is_gone_ends_the_command(through: list[str], tmp_path: Path) -> None:
    for number, before in enumerate(([], through)):
        told = tmp_path / f"told{number}"
        script = f"trap 'echo hung up >{told}; exit 3' HUP; echo ready; while :; do sleep 0.05; done"
        with terminal([*before, "sh", "-c", script]) as (_, _, read):
            read(b"ready")
        until(told.exists)


def test_what_the_command_sends_to_its_group_comes_once(through: list[str]) -> None:
    script = "trap 'echo term' TERM; kill -TERM 0; sleep 0.3; echo end"
    seen = []
    for before in ([], through):
        with terminal([*before, "bash", "-c", script]) as (_, _, read):
            seen.append(read(b""))
    assert seen[1] == seen[0]


def test_a_command_that_ignores_the_stop_key_is_not_left_alone(through: list[str]) -> None:
    script = "trap '' TSTP; echo ready; read x; echo got $x"
    with terminal([*through, "sh", "-c", script]) as (wait, master, read):
        read(b"ready")
        os.write(master, b"\x1aword\n")
        read(b"got word")
        assert wait() == 0


INTERRUPTED = """
import builtins, os, signal, sys
import_, left = builtins.__import__, int(sys.argv.pop(1))
def importing(*arguments, **named):
    global left
    left -= 1
    left or os.kill(os.getpid(), signal.SIGINT)
    return import_(*arguments, **named)
import check_jobmon.ctl
builtins.__import__ = importing
sys.exit(check_jobmon.ctl.main())
"""


def test_an_interrupt_at_any_moment_of_ours_leaves_no_traceback(tmp_path: Path) -> None:
    """Either it has ended jobmonctl, and nothing was run, or the command got it."""
    where = [*NOWHERE, "--spool", str(tmp_path / "spool"), "--", "sh", "-c", "trap 'exit 4' INT; echo run; sleep 0.1"]
    for moment in (1, 5, 20, 60, 150, 250, 400):
        argv = [sys.executable, "-c", INTERRUPTED, str(moment), "run", "etl", *where]
        status, stdout, stderr = piped(argv)
        assert b"Traceback" not in stderr
        assert (status, stdout) in [(-signal.SIGINT, b""), (4, b"run\n"), (0, b"run\n"), (-signal.SIGINT, b"run\n")], (
            moment
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_soon_after_the_start_leaves_no_traceback_of_ours(tmp_path: Path, number: signal.Signals) -> None:
    """Before the first line of ours Python may have one of its own, and any status with it; then nothing is run."""
    where = [*NOWHERE, "--spool", str(tmp_path / "spool"), "--", "sh", "-c", "echo run; exec sleep 0.1"]
    for moment in range(0, 80, 4):
        with subprocess.Popen(
            [JOBMONCTL, "run", "etl", *where], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as process:
            time.sleep(moment / 1000)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=60)
        assert b"check_jobmon/" not in stderr
        assert stdout in (b"", b"run\n")
        assert process.returncode == -number or (stderr and not stdout)


RAW = "import os, termios, tty; tty.setcbreak(0); print('ready', flush=True); print(os.read(0, 1)); "
RAW += "print(os.get_terminal_size(1)); os._exit(3)"


def test_a_program_that_sets_the_terminals_modes_can(through: list[str]) -> None:
    seen = []
    for before in ([], through):
        with terminal([*before, *PYTHON, "-c", RAW]) as (wait, master, read):
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
            read(b"ready")
            modes = termios.tcgetattr(master)
            os.write(master, b"k")
            seen.append((modes, read(b")\r\n"), wait()))
    assert seen[1] == seen[0]
    assert not seen[0][0][3] & (termios.ICANON | termios.ECHO)


@pytest.mark.parametrize("stop", ["key", "itself"])
def test_job_control_is_the_same(through: list[str], tmp_path: Path, stop: str) -> None:
    script = tmp_path / "program"
    own = "os.kill(os.getpid(), signal.SIGTSTP)" if stop == "itself" else ""
    # blocked, so that it is seen whenever it comes
    script.write_text(
        "import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])\nprint('rea' + 'dy', flush=True)\n"
        f"{own}\nsignal.sigwait([signal.SIGCONT])\nprint('contin' + 'ued', flush=True)\n"
        "print('en' + 'd:', input(), flush=True)\n"
    )
    seen = []
    for before in ([], through):
        line = " ".join([*before, *PYTHON, str(script)])
        with terminal(["bash", "--norc", "-i"], PS1="$ ", line=line) as (_, master, read):
            os.write(master, b"stty -echo; eval $line\n")
            read(b"ready")
            if stop == "key":
                os.write(master, b"\x1a")
            read(b"Stopped")
            read(b"$ ")
            os.write(master, b"fg\n")
            read(b"continued")
            os.write(master, b"word\n")
            read(b"end: word")
            os.write(master, b"echo stat''us $?; jobs; exit\n")
            seen.append(read(b"status 0"))
    assert seen[1] == seen[0]

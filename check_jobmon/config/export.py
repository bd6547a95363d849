"""Writes the jobs of a table as a configuration file, so that reading the file gives the same jobs. Uses no database."""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterable

from check_jobmon.config import ConfigFileError
from check_jobmon.config.config_file import NAME_LENGTH, Upper, capitalized
from check_jobmon.config.job_fields import USUAL, JobConfig, crossed, wrong_dependencies
from check_jobmon.config.yaml_nodes import EXACT
from check_jobmon.text import clean

# A name that no reader of YAML 1.1 takes for syntax; the words that they take for something else than text; and the
# characters that they may not accept unescaped.
_PLAIN = re.compile(r"[A-Z][A-Z0-9_./()+-]*(?: [A-Z0-9_./()+-]+)*")
_SPECIAL = {"Y", "N", "YES", "NO", "ON", "OFF", "TRUE", "FALSE", "NULL"}
_ESCAPED = re.compile("[^\x20-\x7e\xa0-\u2027\u202f-\ud7ff\uf900-\ufefe\uff00-\ufffd\U00010000-\U000e0000]")
_LONG_KEY = 1000


def write(jobs: Iterable[JobConfig], upper: Upper = capitalized) -> str:
    """The file that gives these jobs, each with its values unless they are the usual ones, sorted by name."""
    rows = sorted(jobs, key=lambda job: job.name)
    if not rows:
        return "jobs: {}\n"
    lines = ["jobs:"]
    names = [job.name for job in rows] + [job.after for job in rows if job.after]
    keys = {name: _key(name, capitals) for name, capitals in zip(names, upper(names), strict=True)}
    for job in rows:
        values = {**job.values(), **({"after": keys[job.after]} if job.after else {})}
        fields = ", ".join(f"{name}: {_escaped(text)}" for name, text in values.items() if USUAL.get(name) != text)
        key = keys[job.name]
        # YAML's own bound on a key without the question mark is 1024 characters
        lines += [f"  {key}: {{{fields}}}"] if len(key) < _LONG_KEY else [f"  ? {key}", f"  : {{{fields}}}"]
    return "\n".join(lines) + "\n"


def _key(name: str, capitals: str) -> str:
    """A name as a YAML key: in double quotes unless every reader of YAML takes it for a text, and exact unless it is normal."""
    normal = name == capitals and name.strip(" ") and len(name) <= NAME_LENGTH
    if normal and _PLAIN.fullmatch(name) and name not in _SPECIAL:
        return name
    return ("" if normal else f"{EXACT} ") + _escaped(json.dumps(name, ensure_ascii=False))


def _escaped(text: str) -> str:
    """A text in double quotes, without the characters that readers of YAML may not accept."""
    return _ESCAPED.sub(lambda c: f"\\U{ord(c[0]):08x}", text)


def refusable(jobs: Iterable[JobConfig]) -> list[str]:
    """What the table allows and the file does not, in one line each."""
    rows = {job.name: vars(job) for job in jobs}
    above = [
        f"{lower} {row[lower]} of {clean(name, 60)} is above {higher} {row[higher]}"
        for name, row in rows.items()
        for lower, higher in crossed(row)
    ]
    wrong = wrong_dependencies({name: row["after"] for name, row in rows.items()}, rows, "in the table")
    return above + [f"{clean(name, 60)} is after another: {text}" for name, text in wrong]


def write_data(path: str, data: bytes) -> None:
    """Write a file as replace_file() does, or for `-` to standard output. Raises ConfigFileError."""
    try:
        if path == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            replace_file(path, data)
    except OSError as error:
        name = "standard output" if path == "-" else path
        raise ConfigFileError(f"{name} can't be written: {error.strerror}") from None


def replace_file(path: str, data: bytes) -> None:
    """Write a file, all or nothing: one that is there is replaced once the new one is complete. Raises OSError.

    A symbolic link is followed only if it is root's or the caller's own: in a folder like /tmp, others could have made it.
    """
    target = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if os.path.islink(target):
        if os.lstat(target).st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it is a symbolic link of another user")
        # the pipe behind /dev/stdout has no path of its own
        if os.path.isfile(target) or not os.path.exists(target):
            target = os.path.realpath(target)
    if os.path.exists(target) and not os.path.isfile(target):
        # a named pipe without a reader is an error at once: opening it would wait for one
        descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(descriptor, True)
        with open(descriptor, "wb") as device:
            device.write(data)
        return
    new = os.path.join(os.path.dirname(target), f".jobmonctl-{secrets.token_hex(8)}")
    with open(new, "xb") as file:
        try:
            with contextlib.suppress(FileNotFoundError):
                shutil.copymode(target, new)
            file.write(data)
            file.flush()
            os.replace(new, target)
        except BaseException:
            os.unlink(new)
            raise

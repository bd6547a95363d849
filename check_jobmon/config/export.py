"""Writes the jobs of a table as a configuration file, so that reading the file gives the same jobs. Uses no database."""

import contextlib
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterable

from check_jobmon.config import ConfigFileError
from check_jobmon.config.config_file import NAME_LENGTH, JobConfig, Upper, capitalized
from check_jobmon.config.yaml_nodes import EXACT

# A name that no reader of YAML 1.1 takes for syntax; the words that they take for something else than text; and the
# characters that they may not accept unescaped.
_PLAIN = re.compile(r"[A-Z][A-Z0-9_./()+-]*(?: [A-Z0-9_./()+-]+)*")
_SPECIAL = {"Y", "N", "YES", "NO", "ON", "OFF", "TRUE", "FALSE", "NULL"}
_ESCAPED = re.compile("[^\x20-\x7e\xa0-\u2027\u202f-\ud7ff\uf900-\ufefe\uff00-\ufffd\U00010000-\U000e0000]")
_LONG_KEY = 1000
_USUAL = {"sensitivity": "0", "active": "true"}


def write(jobs: Iterable[JobConfig], upper: Upper = capitalized) -> str:
    """The file that gives these jobs, each with its values unless they are the usual ones, sorted by name."""
    rows = sorted(jobs, key=lambda job: job.name)
    if not rows:
        return "jobs: {}\n"
    lines = ["jobs:"]
    for job, capitals in zip(rows, upper([job.name for job in rows]), strict=True):
        normal = job.name == capitals and job.name.strip(" ") and len(job.name) <= NAME_LENGTH
        key = _key(job.name) if normal else f"{EXACT} {_key(job.name)}"
        fields = ", ".join(
            f"{name}: {_escaped(text)}" for name, text in job.values().items() if _USUAL.get(name) != text
        )
        # YAML's own bound on a key without the question mark is 1024 characters
        lines += [f"  {key}: {{{fields}}}"] if len(key) < _LONG_KEY else [f"  ? {key}", f"  : {{{fields}}}"]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """A name as a YAML key: in double quotes unless every reader of YAML takes it for a text."""
    if _PLAIN.fullmatch(name) and name not in _SPECIAL:
        return name
    return _escaped(json.dumps(name, ensure_ascii=False))


def _escaped(text: str) -> str:
    """A text in double quotes, without the characters that readers of YAML may not accept."""
    return _ESCAPED.sub(lambda c: f"\\U{ord(c[0]):08x}", text)


def above(jobs: Iterable[JobConfig]) -> list[JobConfig]:
    """The jobs whose warning threshold is above the error threshold, which the table allows and the file does not."""
    return [job for job in jobs if job.warn.length > job.error.length]


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
    """Write a file, all or nothing: one that is there is replaced once the new one is complete. Raises OSError."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as device:
            device.write(data)
        return
    target = os.path.realpath(path)
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

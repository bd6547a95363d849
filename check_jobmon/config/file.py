"""The configuration file: what jobs and hosts it names, or all that is wrong with it at once. Reads, and writes jobs.

Knows no database; what only a server knows (how it capitalizes a name) is passed in.
"""

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from check_jobmon.config.durations import Duration, NoDuration, parse
from check_jobmon.config.yaml_nodes import EXACT, Broken, Items, Mistake, Node, Pairs, Position, Scalar, compose
from check_jobmon.text import clean

SECTIONS = ("defaults", "jobs", "hosts")
FIELDS = ("warn", "error", "sensitivity", "active")
NAME_LENGTH = 500
"""Characters of a job's name, the limit of add_job()."""
_SMALLINT = 2**15 - 1
_SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
# What YAML 1.1 readers take for something else than text, and what they would find other syntax in.
_PLAIN = re.compile(r"[A-Z][A-Z0-9_./()+-]*(?: [A-Z0-9_./()+-]+)*")
_SPECIAL = {"Y", "N", "YES", "NO", "ON", "OFF", "TRUE", "FALSE", "NULL"}
_ESCAPED = re.compile("[^\x20-\x7e\xa0-\u2027\u202f-\ud7ff\uf900-\ufefe\uff00-\ufffd\U00010000-\U000e0000]")
_LONG_KEY = 1000

Upper = Callable[[Sequence[str]], Sequence[str]]
"""Capitalizes names."""
T = TypeVar("T")


class ConfigError(Exception):
    """All that is wrong with a file, in the order of its lines."""

    def __init__(self, source: str, mistakes: Iterable[Mistake]) -> None:
        self.source = source
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.position))
        super().__init__(source)

    def __str__(self) -> str:
        """One line: the first mistake, and how many more there are."""
        first, *others = [mistake for mistake in self.mistakes if not mistake.warning]
        return located(self.source, first) + (f" (and {len(others)} more)" if others else "")


@dataclass(frozen=True)
class JobConfig:
    """One row of job_check_config. The name is as in the table."""

    name: str
    warn: Duration
    error: Duration
    sensitivity: int = 0
    active: bool = True
    position: Position = field(default=Position(), compare=False)


@dataclass(frozen=True)
class Host:
    """What a name for -H stands for: libpq's parameters, and the schema if it is said."""

    name: str
    parameters: Mapping[str, str]
    schema: str | None = None


@dataclass(frozen=True)
class Configuration:
    """A whole file. `jobs` is None if it doesn't speak of jobs at all."""

    jobs: tuple[JobConfig, ...] | None
    hosts: tuple[Host, ...]
    warnings: tuple[Mistake, ...] = ()


def located(source: str, mistake: Mistake) -> str:
    """The mistake in one line as compilers print them."""
    return f"{source}:{mistake.position.line}:{mistake.position.column}: {mistake}"


def capitalized(names: Sequence[str]) -> list[str]:
    """The names as a server with a UTF-8 locale capitalizes them: character by character, never to more characters."""
    return ["".join(c.upper() if len(c.upper()) == 1 else c for c in name) for name in names]


def read(source: str, data: bytes, upper: Upper = capitalized) -> Configuration:
    """The whole file. Raises ConfigError with all its mistakes and warnings."""
    reader = _Reader(*compose(data))
    return reader.result(source, reader.jobs(upper), reader.hosts())


def read_hosts(source: str, data: bytes) -> tuple[Host, ...]:
    """The hosts alone, whatever is wrong with the jobs. Raises ConfigError."""
    reader = _Reader(*compose(data))
    return reader.result(source, None, reader.hosts()).hosts


class _Reader:
    """Goes through the nodes and gathers the mistakes."""

    def __init__(self, root: Node, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        self.sections = self.entries(root, "the file", SECTIONS)

    def result(self, source: str, jobs: tuple[JobConfig, ...] | None, hosts: tuple[Host, ...]) -> Configuration:
        if not all(mistake.warning for mistake in self.mistakes):
            raise ConfigError(source, self.mistakes)
        return Configuration(jobs, hosts, tuple(self.mistakes))

    def mistake(self, node: Node, text: str, warning: bool = False) -> None:
        self.mistakes.append(Mistake(node.position, text, warning))

    def pairs(self, node: Node, what: str) -> list[tuple[Scalar, Node]]:
        """A mapping's pairs, of those whose keys are texts."""
        if isinstance(node, Broken) or (isinstance(node, Scalar) and node.empty):
            return []
        if not isinstance(node, Pairs):
            self.mistake(node, f"{what} has to be a mapping (name: value), and this is {_kind(node)}")
            return []
        found = []
        for key, value in node.pairs:
            if isinstance(key, Scalar):
                found.append((key, value))
            elif not isinstance(key, Broken):
                self.mistake(key, f"{_kind(key)} can't be a name")
        return found

    def entries(self, node: Node, what: str, known: Collection[str], ways_out: str = "") -> dict[str, Node]:
        """A mapping's values by key, of the known keys."""
        found: dict[str, Node] = {}
        for key, value in self.pairs(node, what):
            if key.text not in known:
                self.mistake(key, f"unknown key {_quoted(key.text)}{ways_out or _nearest(key.text, known)}")
            elif key.text in found:
                self.mistake(key, f"{_quoted(key.text)} is there twice")
            else:
                found[key.text] = value
        return found

    # jobs

    def jobs(self, upper: Upper) -> tuple[JobConfig, ...] | None:
        defaults = _Fields(self, self.sections.get("defaults", Scalar(Position(), "")), "defaults")
        defaults.compare()
        if "jobs" not in self.sections:
            return None
        found = self.pairs(self.sections["jobs"], "jobs")
        names = [key.text for key, _ in found]
        first: dict[str, Scalar] = {}
        jobs = []
        for (key, node), capitals in zip(found, upper(names), strict=True):
            name = key.text if key.exact else capitals
            job = self.job(key, name, _Fields(self, node, f"job {_quoted(name)}", defaults))
            if not key.exact and not name.strip(" "):
                self.mistake(key, "a job needs a name, and this one is empty")
            elif not key.exact and len(key.text) > NAME_LENGTH:
                self.mistake(
                    key, f"a job's name has at most {NAME_LENGTH} characters, and this one has {len(key.text)}"
                )
            elif name in first:
                line = first[name].position.line
                self.mistake(key, f"duplicate job {_quoted(key.text)}: {_quoted(name)} is in line {line} already")
            elif key.exact and name != capitals:
                what = f"job {_quoted(name)} is {EXACT}, so it matches no run: names in the log are upper case"
                self.mistake(key, what, warning=True)
            first.setdefault(name, key)
            if job:
                jobs.append(job)
        return tuple(jobs)

    def job(self, key: Scalar, name: str, fields: "_Fields") -> JobConfig | None:
        lacking = [limit for limit in ("warn", "error") if limit not in fields.given]
        if lacking and fields.usable:
            what = " and no ".join(lacking)
            self.mistake(key, f"job {_quoted(name)} has no {what}, neither of its own nor from defaults")
        fields.compare()
        warn, error = fields.duration("warn"), fields.duration("error")
        if warn is None or error is None:
            return None
        return JobConfig(name, warn, error, fields.sensitivity or 0, fields.active is not False, key.position)

    def scalar(self, node: Node, what: str) -> Scalar | None:
        """A value's text."""
        if isinstance(node, Scalar) and not node.exact:
            return node
        if isinstance(node, Scalar):
            self.mistake(node, f"{EXACT} stands before a job's name only")
        elif not isinstance(node, Broken):
            self.mistake(node, f"{what} can't be {_kind(node)}")
        return None

    # hosts

    def hosts(self) -> tuple[Host, ...]:
        found: dict[str, Host] = {}
        for key, node in self.pairs(self.sections.get("hosts", Scalar(Position(), "")), "hosts"):
            if not key.text.strip() or "/" in key.text:
                self.mistake(
                    key, f"{_quoted(key.text)} can't be a host's name: -H takes it for a socket directory or nothing"
                )
            elif key.text in found:
                self.mistake(key, f"host {_quoted(key.text)} is there twice")
            found[key.text] = self.host(key.text, node)
        return tuple(found.values())

    def host(self, name: str, node: Node) -> Host:
        known = [*_libpq_keywords(), "schema"]
        pairs = self.pairs(node, f"host {_quoted(name)}")
        for key, _ in pairs:
            if key.text in _SECRETS:
                self.mistake(
                    key,
                    f"no {key.text} here, where everybody can read it: it belongs into ~/.pgpass (mode 600) of the user "
                    "that connects, or into the file that passfile names",
                )
        spared = Pairs(node.position, tuple((key, value) for key, value in pairs if key.text not in _SECRETS))
        values = {}
        for keyword, value in self.entries(spared, "", known).items():
            scalar = self.scalar(value, keyword)
            if scalar is None:
                continue
            wrong = _wrong_parameter(keyword, scalar)
            if wrong:
                self.mistake(scalar, wrong)
            values[keyword] = scalar.text
        schema = values.pop("schema", None)
        return Host(name, values, schema)


class _Fields:
    """What a job or the defaults say, with what the defaults said before."""

    def __init__(self, reader: _Reader, node: Node, what: str, defaults: "_Fields | None" = None) -> None:
        self.reader, self.what = reader, what
        self.usable = isinstance(node, Pairs) or (isinstance(node, Scalar) and node.empty)
        self.own = reader.entries(node, what, FIELDS)
        self.given: set[str] = set(self.own) | (defaults.given if defaults else set())
        self.values: dict[str, object] = dict(defaults.values) if defaults else {}
        for name, value in self.own.items():
            self.values.pop(name, None)
            scalar = reader.scalar(value, f"{name} of {what}")
            found = None if scalar is None else self.convert(name, scalar)
            if found is not None:
                self.values[name] = found

    def convert(self, name: str, scalar: Scalar) -> object:
        if name == "active":
            if scalar.plain and scalar.text.lower() in _TRUTH:
                return _TRUTH[scalar.text.lower()]
            self.reader.mistake(scalar, f"active is true or false, and this is {_quoted(scalar.text)}")
        elif name == "sensitivity":
            # a leading zero would be octal to other readers of YAML
            if scalar.plain and re.fullmatch(r"0|[1-9][0-9]{0,4}", scalar.text) and int(scalar.text) <= _SMALLINT:
                return int(scalar.text)
            what = f"sensitivity is a number of failures, 0 to {_SMALLINT}, and this is {_quoted(scalar.text)}"
            self.reader.mistake(scalar, what)
        else:
            try:
                found = parse("" if scalar.empty else scalar.text)
            except NoDuration as error:
                self.reader.mistake(scalar, f"{name}: {_quoted(scalar.text)} {error}")
                return None
            if found.length <= 0:
                what = f"{name}: {_quoted(scalar.text)} is not more than nothing, so the job is always missing"
                self.reader.mistake(scalar, what, warning=True)
            return found
        return None

    def duration(self, name: str) -> Duration | None:
        found = self.values.get(name)
        return found if isinstance(found, Duration) else None

    @property
    def sensitivity(self) -> int | None:
        found = self.values.get("sensitivity")
        return found if isinstance(found, int) else None

    @property
    def active(self) -> bool | None:
        found = self.values.get("active")
        return found if isinstance(found, bool) else None

    def compare(self) -> None:
        """Whether warn is above error, said once and where it was written."""
        warn, error = self.duration("warn"), self.duration("error")
        place = self.own.get("warn") or self.own.get("error")
        if place and warn and error and warn.length > error.length:
            self.reader.mistake(place, f"{self.what}: warn {warn} is above error {error}")


def _kind(node: Node) -> str:
    if isinstance(node, Pairs):
        return "a mapping"
    if isinstance(node, Items):
        return "a list"
    return "a text"  # which one is not said: it may hold a password


def _quoted(text: str) -> str:
    return f'"{clean(text, 60)}"'


def _nearest(key: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(key[:100].lower(), known, 1, 0.5)
    if nearest:
        return f': did you mean "{nearest[0]}"?'
    return f": there is {', '.join(known)}" if len(known) < 10 else ": libpq has no such parameter"


def _libpq_keywords() -> list[str]:
    from psycopg.pq import Conninfo

    return [option.keyword.decode() for option in Conninfo.get_defaults() if option.dispchar != b"*"]


def _wrong_parameter(keyword: str, scalar: Scalar) -> str | None:
    """What is wrong with the value of a connection parameter; never the value itself, who knows what is in it."""
    if scalar.empty or not scalar.text.strip():
        return f"{keyword} has no value: leave it out for libpq's default"
    if keyword == "port" and not re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", scalar.text):
        return "port is a number from 1 to 65535"
    if keyword == "dbname" and re.match(r"postgres(ql)?://|.*\w\s*=", scalar.text):
        return (
            "dbname is the database's name alone: give host, port, user as keys of their own, the password in ~/.pgpass"
        )
    return None


def write(jobs: Iterable[JobConfig], upper: Upper = capitalized) -> str:
    """The file that gives these jobs, each spelled out, sorted by name."""
    rows = sorted(jobs, key=lambda job: job.name)
    if not rows:
        return "jobs: {}\n"
    lines = ["jobs:"]
    for job, capitals in zip(rows, upper([job.name for job in rows]), strict=True):
        normal = job.name == capitals and job.name.strip(" ") and len(job.name) <= NAME_LENGTH
        key = _key(job.name) if normal else f"{EXACT} {_key(job.name)}"
        fields = f"warn: {job.warn}, error: {job.error}"
        if job.sensitivity:
            fields += f", sensitivity: {job.sensitivity}"
        if not job.active:
            fields += ", active: false"
        # YAML's own bound on a key without the question mark is 1024 characters
        lines += [f"  {key}: {{{fields}}}"] if len(key) < _LONG_KEY else [f"  ? {key}", f"  : {{{fields}}}"]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """A name as a YAML key: plain if it is plainly a text, else in double quotes."""
    if _PLAIN.fullmatch(name) and name not in _SPECIAL:
        return name
    return _ESCAPED.sub(lambda c: f"\\U{ord(c[0]):08x}", json.dumps(name, ensure_ascii=False))


def above(jobs: Iterable[JobConfig]) -> list[JobConfig]:
    """Those whose warn is above error: a table may have such, a file may not."""
    return [job for job in jobs if job.warn.length > job.error.length]

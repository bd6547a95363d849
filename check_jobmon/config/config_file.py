"""The configuration file: reads its jobs and hosts, or reports all its mistakes at once.

Uses no database: the function that converts names to upper case as the server does is passed in.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from check_jobmon.config import ConfigFileError
from check_jobmon.config.durations import Duration
from check_jobmon.config.job_fields import FIELDS, JobConfig, crossed, in_quotes, wrong_dependencies
from check_jobmon.config.yaml_nodes import EXACT, Mistake, Node, Position, compose

SECTIONS = ("defaults", "jobs", "hosts")
NAME_LENGTH = 500
"""Characters of a job's name, the limit of add_job()."""
_SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_ELSEWHERE = "it belongs in ~/.pgpass (mode 600) of the user that connects, or in the file that passfile names"

Upper = Callable[[Sequence[str]], Sequence[str]]
"""Capitalizes names."""
Time = tuple[str, str]
"""The key "schedule" or "timezone", and its value."""


class ConfigFileMistakes(ConfigFileError):
    """All the mistakes in a file, in the order of its lines."""

    def __init__(self, source: str, mistakes: Iterable[Mistake]) -> None:
        self.source = source
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.position))
        super().__init__(source)

    def __str__(self) -> str:
        """One line: the first mistake, and how many more there are."""
        first, *others = [mistake for mistake in self.mistakes if not mistake.warning]
        return located(self.source, first) + (f" (and {len(others)} more)" if others else "")


@dataclass(frozen=True)
class Host:
    """What a name given to -H stands for: libpq's parameters, and the schema if the file has one."""

    name: str
    parameters: Mapping[str, str]
    schema: str | None = None


@dataclass(frozen=True)
class Configuration:
    """What a configuration file says. `jobs` is None if it has no section "jobs:"."""

    jobs: tuple[JobConfig, ...] | None
    hosts: tuple[Host, ...]
    warnings: tuple[Mistake, ...] = ()


def located(source: str, mistake: Mistake) -> str:
    """The mistake in one line as compilers print them."""
    return f"{source}:{mistake.position.line}:{mistake.position.column}: {mistake}"


def capitalized(names: Sequence[str]) -> list[str]:
    """The names with the letters of ASCII in upper case: which others a server capitalizes, only that server knows."""
    return [name.encode("utf-8", "surrogatepass").upper().decode("utf-8", "surrogatepass") for name in names]


def read(
    source: str,
    data: bytes,
    upper: Upper = capitalized,
    kept: Iterable[JobConfig] | None = None,
    wrong_times: Callable[[Sequence[Time]], Mapping[Time, str]] = lambda _: {},
) -> Configuration:
    """The whole file. Raises ConfigFileMistakes with all its mistakes and warnings.

    `kept` are the jobs that there are besides those of the file; without them, `after` isn't verified. `wrong_times` says what
    is wrong with those of its arguments that are wrong.
    """
    reader = _Reader(*compose(data))
    jobs = reader.jobs(upper)
    if kept is not None:
        reader.verify_after({job.name: job.after for job in kept})
    times = {node: (key, node.text) for key, node in reader.times if node.text.strip()}
    wrong = wrong_times([*times.values()])
    for node, time in times.items():
        if time in wrong:
            reader.mistake(node, wrong[time])
    return reader.result(source, jobs, reader.hosts())


def read_hosts(source: str, data: bytes) -> tuple[Host, ...]:
    """The hosts alone, whatever is wrong with the jobs. Raises ConfigFileMistakes."""
    reader = _Reader(*compose(data))
    return reader.result(source, None, reader.hosts()).hosts


def read_defaults(source: str, data: bytes) -> JobConfig:
    """The section "defaults:", as a job without a name. Raises ConfigFileMistakes, also if it has no warn or no error."""
    reader = _Reader(*compose(data))
    section = reader.sections.get("defaults", _NOTHING)
    fields = reader.fields(section, "defaults", {})
    lacking = [limit for limit in ("warn", "error") if limit not in fields]
    if lacking and not reader.mistakes:
        reader.mistake(section, f"defaults has no {' and no '.join(lacking)}")
    reader.result(source, None, ())
    return JobConfig("", **fields)


class _Reader:
    """Reads the nodes and gathers the mistakes."""

    def __init__(self, root: Node, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        self.times: list[tuple[str, Node]] = []
        self.after: dict[str, str | None] = {}
        self.places: dict[str, Node] = {}
        self.sections = self.entries(root, "the file", SECTIONS)

    def result(self, source: str, jobs: tuple[JobConfig, ...] | None, hosts: tuple[Host, ...]) -> Configuration:
        if not all(mistake.warning for mistake in self.mistakes):
            raise ConfigFileMistakes(source, self.mistakes)
        return Configuration(jobs, hosts, tuple(self.mistakes))

    def mistake(self, node: Node, text: str, warning: bool = False) -> None:
        self.mistakes.append(Mistake(node.position, text, warning))

    def pairs(self, node: Node, what: str) -> list[tuple[Node, Node]]:
        """The pairs of a mapping. A pair whose key is a mapping or a list is left out, and reported as a mistake."""
        if node.kind == "broken" or node.empty:
            return []
        if node.kind != "mapping":
            # a text isn't quoted: it may hold a password
            self.mistake(node, f"{what} has to be a mapping (name: value), and this is a {node.kind}")
        for key, _ in node.pairs:
            if key.kind in ("mapping", "list"):
                self.mistake(key, f"a {key.kind} can't be a name")
        return [(key, value) for key, value in node.pairs if key.kind == "text"]

    def entries(self, node: Node, what: str, known: Collection[str]) -> dict[str, Node]:
        """A mapping's values by key, for the known keys."""
        found: dict[str, Node] = {}
        for key, value in self.pairs(node, what):
            if key.text in _SECRETS:
                self.mistake(key, f"no {key.text} here, where everybody can read it: {_ELSEWHERE}")
            elif key.text not in known:
                self.mistake(key, f"unknown key {in_quotes(key.text)}{_nearest(key.text, known)}")
            elif key.text in found:
                self.mistake(key, f"{in_quotes(key.text)} is given twice")
            else:
                found[key.text] = value
        return found

    def jobs(self, upper: Upper) -> tuple[JobConfig, ...] | None:
        defaults = self.fields(self.sections.get("defaults", _NOTHING), "defaults", {})
        if "jobs" not in self.sections:
            return None
        found = self.pairs(self.sections["jobs"], "jobs")
        first: dict[str, Node] = {}
        jobs = []
        after = [value for _, node in found for key, value in node.pairs if key.text == "after"]
        texts = [*dict.fromkeys(node.text for node in (*(key for key, _ in found), *after))]
        self.capitals = dict(zip(texts, upper(texts), strict=True))
        for key, node in found:
            capitals = self.capitals[key.text]
            name = key.text if key.exact else capitals
            job = self.job(key, name, node, defaults)
            if not key.exact and not name.strip(" "):
                self.mistake(key, "a job needs a name, and this one is empty")
            elif not key.exact and len(key.text) > NAME_LENGTH:
                what = f"a job's name has at most {NAME_LENGTH} characters, and this one has {len(key.text)}"
                self.mistake(key, what)
            elif name in first:
                line = first[name].position.line
                self.mistake(key, f"duplicate job {in_quotes(key.text)}: {in_quotes(name)} is in line {line} already")
            elif key.exact and name != capitals:
                what = f"job {in_quotes(name)} is {EXACT}, so it matches no run: names in the log are upper case"
                self.mistake(key, what, warning=True)
            first.setdefault(name, key)
            if job:
                jobs.append(job)
        return tuple(jobs)

    def job(self, key: Node, name: str, node: Node, defaults: Mapping[str, Any]) -> JobConfig | None:
        fields = self.fields(node, f"job {in_quotes(name)}", defaults)
        missing = [limit for limit in ("warn", "error") if limit not in fields]
        if missing and (node.kind == "mapping" or node.empty):
            what = " and no ".join(missing)
            self.mistake(key, f"job {in_quotes(name)} has no {what}, neither of its own nor from defaults")
        if after := fields.get("after"):
            self.places[name] = after
            fields["after"] = after.text if after.exact else self.capitals[after.text]
        self.after[name] = fields.get("after")
        if fields.get("warn") is None or fields.get("error") is None:
            return None
        return JobConfig(name, position=key.position, **fields)

    def fields(self, node: Node, what: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The values that a job or the defaults give, over those of the defaults; None for one that is a mistake."""
        own = self.entries(node, what, FIELDS)
        if what == "defaults" and "after" in own:
            self.mistake(own.pop("after"), "after names the job that one job waits for: give it to that one")
        found = {**defaults, **{name: self.field(name, value, what) for name, value in own.items()}}
        for lower, higher in crossed(found):
            # if neither is the job's own, the mistake is in the defaults, and reported there
            if place := own.get(lower) or own.get(higher):
                self.mistake(place, f"{what}: {lower} {found[lower]} is above {higher} {found[higher]}")
        return found

    def field(self, name: str, node: Node, what: str) -> object:
        if not self.is_text(node, f"{name} of {what}", name == "after"):
            return None
        try:
            value = FIELDS[name](node)
        except ValueError as error:
            self.mistake(node, f"{name}{error}")
            return None
        if isinstance(value, Duration) and value.length <= 0:
            text = f"{name}: {in_quotes(node.text)} is not positive, so the job is always missing"
            self.mistake(node, text, warning=True)
        if name in ("schedule", "timezone") and not node.empty:
            self.times.append((name, node))
        return value

    def verify_after(self, kept: Mapping[str, str | None]) -> None:
        where = "in this file or in the table" if kept else "in this file"
        for name, wrong in wrong_dependencies({**kept, **self.after}, self.after, where):
            self.mistake(self.places[name], f"after: {wrong}")

    def is_text(self, node: Node, what: str, is_name: bool = False) -> bool:
        """Whether a value is a text; adds a mistake if not."""
        if node.kind in ("mapping", "list"):
            self.mistake(node, f"{what} can't be a {node.kind}")
        elif node.exact and not is_name:
            self.mistake(node, f"{EXACT} stands before a job's name only")
        return node.kind == "text" and (is_name or not node.exact)

    def hosts(self) -> tuple[Host, ...]:
        found: dict[str, Host] = {}
        for key, node in self.pairs(self.sections.get("hosts", _NOTHING), "hosts"):
            if not key.text.strip() or "/" in key.text:
                what = "can't be a host's name: -H takes it for a socket directory or nothing"
                self.mistake(key, f"{in_quotes(key.text)} {what}")
            elif key.text in found:
                self.mistake(key, f"host {in_quotes(key.text)} is given twice")
            found[key.text] = self.host(key.text, node)
        return tuple(found.values())

    def host(self, name: str, node: Node) -> Host:
        values = {}
        for keyword, value in self.entries(node, f"host {in_quotes(name)}", [*_libpq_keywords(), "schema"]).items():
            if self.is_text(value, keyword):
                if wrong := _wrong_parameter(keyword, value):
                    self.mistake(value, wrong)
                values[keyword] = value.text
        return Host(name, values, schema=values.pop("schema", None))


_NOTHING = Node(Position(), "text")
"""Stands for a section that the file doesn't have."""


def _nearest(key: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(key[:100].lower(), known, 1, 0.5)
    if nearest:
        return f': did you mean "{nearest[0]}"?'
    return f": there is {', '.join(known)}" if len(known) < 20 else ": libpq has no such parameter"


def _libpq_keywords() -> list[str]:
    from psycopg.pq import Conninfo

    return [option.keyword.decode() for option in Conninfo.get_defaults() if option.dispchar != b"*"]


def _wrong_parameter(keyword: str, node: Node) -> str | None:
    """What is wrong with the value of a connection parameter, without the value, which may hold a password."""
    if node.empty or not node.text.strip():
        return f"{keyword} has no value: leave it out for libpq's default"
    if keyword == "port" and not re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", node.text):
        return "port is a number from 1 to 65535"
    if keyword == "dbname" and re.match(r"postgres(ql)?://|.*\w\s*=", node.text):
        return (
            "dbname is the database's name alone: give host, port, user as keys of their own, the password in ~/.pgpass"
        )
    return None

"""The configuration file: what it means, and that all that is wrong with it is said at once, with its place."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from check_jobmon.config.config_file import ConfigFileMistakes, located, read, read_hosts
from check_jobmon.config.durations import Duration, parse
from check_jobmon.config.export import write
from check_jobmon.config.job_fields import FIELDS, JobConfig, Slow, crossed
from check_jobmon.config.yaml_nodes import DEPTH, LIMIT
from tests.config.test_durations import DURATIONS
from tests.database import run_module


def mistakes(text: str | bytes) -> list[str]:
    """All that is wrong with a file, as it is printed."""
    with pytest.raises(ConfigFileMistakes) as refused:
        read("f", text.encode() if isinstance(text, str) else text)
    return [located("f", mistake) for mistake in refused.value.mistakes]


def job(text: str) -> JobConfig:
    """The one job of a file."""
    jobs = read("f", text.encode()).jobs
    assert jobs is not None
    (only,) = jobs
    return only


def test_the_files_of_the_manual_are_read() -> None:
    text = b"""
defaults: {warn: 25h, error: 2d, sensitivity: 0}
jobs:
  Nightly ETL: {warn: 26h, error: 30h}
  CUBE REFRESH: {sensitivity: 2, active: false}
  PURGE:
"""
    assert read("f", text).jobs == (
        JobConfig("NIGHTLY ETL", parse("26h"), parse("30h"), 0, True),
        JobConfig("CUBE REFRESH", parse("25h"), parse("2d"), 2, False),
        JobConfig("PURGE", parse("25h"), parse("2d"), 0, True),
    )


def test_defaults_hold_for_all_four_fields_and_a_job_overrules_each() -> None:
    defaults = "defaults: {warn: 1h, error: 2h, sensitivity: 3, active: false}\n"
    assert job(defaults + "jobs: {A: }") == JobConfig("A", parse("1h"), parse("2h"), 3, False)
    own = "jobs: {A: {warn: 3h, error: 4h, sensitivity: 0, active: yes}}"
    assert job(defaults + own) == JobConfig("A", parse("3h"), parse("4h"), 0, True)


CALENDAR = """\
defaults: {warn: 30m, error: 2h, timezone: Europe/Berlin, slow: 3x, fast: 10s, escalate: 3}
jobs:
  LOAD: {schedule: "30 2 * * mon-fri", slow: 1h or 2.50x, too_slow: 2h}
  Report: {schedule: "@daily", timezone: "", slow: 90m, fast: , after: load, escalate: ~}
  plain: {timezone: , slow: "", after: ""}
"""


def test_the_keys_of_the_calendar() -> None:
    half, two, berlin = parse("30m"), parse("2h"), "Europe/Berlin"
    assert read("f", CALENDAR.encode(), kept=()).jobs == (
        JobConfig(
            "LOAD",
            half,
            two,
            schedule="30 2 * * mon-fri",
            timezone=berlin,
            slow=Slow(parse("1h"), 2.5),
            too_slow=two,
            fast=parse("10s"),
            escalate=3,
        ),
        JobConfig("REPORT", half, two, schedule="@daily", slow=Slow(parse("90m")), after="LOAD"),
        JobConfig("PLAIN", half, two, fast=parse("10s"), escalate=3),
    )


def test_defaults_hold_for_every_key_but_after() -> None:
    values = {**dict.fromkeys(FIELDS, "1h"), "sensitivity": "1", "escalate": "1", "active": "no"}
    values |= {"schedule": '"@daily"', "runbook": "https://wiki/", "after": "A"}
    one = ", ".join(f"{key}: {value}" for key, value in values.items() if key != "after")
    assert job(f"defaults: {{{one}}}\njobs: {{A: }}") == job(f"jobs: {{A: {{{one}}}}}")
    assert mistakes("defaults: {after: A}") == [
        "f:1:19: after names the job that one job waits for: give it to that one"
    ]


@pytest.mark.parametrize(
    ("text", "slow"),
    [
        ("1h", Slow(parse("1h"))),
        ("3x", Slow(None, 3.0)),
        ("1.5 x", Slow(None, 1.5)),
        ("1H OR 3X", Slow(parse("1h"), 3.0)),
        ("1h 30m  or  3x", Slow(parse("90m"), 3.0)),
        ("3.14159265x", Slow(None, 3.14159)),
        ("1000x", Slow(None, 1000.0)),
        ("", Slow()),
        ("~", Slow()),
    ],
)
def test_slow_is_a_time_or_a_factor_or_both(text: str, slow: Slow) -> None:
    found = job(f"jobs: {{A: {{warn: 1h, error: 2h, slow: {text}}}}}").slow
    assert found == slow
    assert job(f"jobs: {{A: {{warn: 1h, error: 2h, slow: {found}}}}}").slow == slow


@pytest.mark.parametrize("name", ["NO", "null", "~", "12:30", "007", "1e3", "true", "2024-01-01", "<<", "=", "0x10"])
def test_a_name_is_a_text_whatever_yaml_makes_of_it(name: str) -> None:
    assert job(f"jobs: {{{name}: {{warn: 1h, error: 2h}}}}").name == name.upper()


def test_without_a_server_no_letters_but_those_of_ascii_are_capitalized() -> None:
    assert job("jobs: {straße é: {warn: 1h, error: 2h}}").name == "STRAßE é"
    assert len(read("f", "jobs: {é: {warn: 1h, error: 2h}, É: {warn: 1h, error: 2h}}".encode()).jobs or ()) == 2
    assert job("jobs: {!exact nightly: {warn: 1h, error: 2h}}").name == "nightly"


MISTAKES: list[tuple[str | bytes, list[str]]] = [
    ("jbos: {}", ['f:1:1: unknown key "jbos": did you mean "jobs"?']),
    (
        "jobs: {A: {wran: 1h, error: 2h}}",
        [
            'f:1:8: job "A" has no warn, neither of its own nor from defaults',
            'f:1:12: unknown key "wran": did you mean "warn"?',
        ],
    ),
    ("jobs: {A: }", ['f:1:8: job "A" has no warn and no error, neither of its own nor from defaults']),
    ("jobs: {A: {warn: 3h, error: 2h}}", ['f:1:18: job "A": warn 3h is above error 2h']),
    ("jobs: {A: {warn: 1mon, error: 29d}}", ['f:1:18: job "A": warn 1mon is above error 29d']),
    ("defaults: {warn: 3h}\njobs: {A: {error: 2h}}", ['f:2:19: job "A": warn 3h is above error 2h']),
    ("defaults: {error: 2h, warn: 3h}\njobs: {A: , B: }", ["f:1:29: defaults: warn 3h is above error 2h"]),
    (
        "jobs:\n  Etl: {warn: 1h, error: 2h}\n  ETL: {warn: 1h, error: 2h}",
        ['f:3:3: duplicate job "ETL": "ETL" is in line 2 already'],
    ),
    ("jobs: {A: {warn: 1h, error: 2h, warn: 1h}}", ['f:1:33: "warn" is given twice']),
    ("jobs: {}\njobs: {}", ['f:2:1: "jobs" is given twice']),
    (
        "jobs: {A: {warn: soon, error: 90}}",
        [
            'f:1:18: warn: "soon" is not a duration: write, for example, 90m, 25h, 1d 12h or PT90M',
            'f:1:31: error: "90" has no unit: write 90s, 90m, 90h or 90d',
        ],
    ),
    ("jobs: {A: {warn: '', error: 2h}}", ['f:1:18: warn: "" is empty: write, for example, 90m, 25h or 1d 12h']),
    ("jobs: {A: {warn: [1h], error: 2h}}", ['f:1:18: warn of job "A" can\'t be a list']),
    ("jobs: [A]", ["f:1:7: jobs has to be a mapping (name: value), and this is a list"]),
    ("jobs: {A: 25h}", ['f:1:11: job "A" has to be a mapping (name: value), and this is a text']),
    ("jobs: {[A]: {}}", ["f:1:8: a list can't be a name"]),
    ("- jobs", ["f:1:1: the file has to be a mapping (name: value), and this is a list"]),
    (
        "defaults: {active: maybe, sensitivity: 1.5}",
        [
            'f:1:20: active is true or false, and this is "maybe"',
            'f:1:40: sensitivity is a number of failures, 0 to 32767, and this is "1.5"',
        ],
    ),
    ("defaults: {active: 'true'}", ['f:1:20: active is true or false, and this is "true"']),
    (
        "defaults: {sensitivity: 32768}",
        ['f:1:25: sensitivity is a number of failures, 0 to 32767, and this is "32768"'],
    ),
    (
        "defaults: {sensitivity: 010}",
        ['f:1:25: sensitivity is a number of failures, 0 to 32767, and this is "010"'],
    ),
    (
        "defaults: {schedule: 0,30 2 * * *}",
        [
            'f:1:22: schedule "0" has 1 of the five fields minute, hour, day of month, month and day of week '
            "(no seconds, no years)",
            f'f:1:24: unknown key "30 2 * * *": there is {", ".join(FIELDS)}',
        ],
    ),
    ("defaults: {escalate: 0}", ['f:1:22: escalate is a number of failures, 1 to 32767, and this is "0"']),
    ("defaults: {escalate: 32768}", ['f:1:22: escalate is a number of failures, 1 to 32767, and this is "32768"']),
    *(
        (f"defaults: {{{key}: 90}}", [f'f:1:{len(key) + 14}: {key}: "90" has no unit: write 90s, 90m, 90h or 90d'])
        for key in ("slow", "too_slow", "fast")
    ),
    *(
        (
            f"defaults: {{{key}: {text}}}",
            [f'f:1:{len(key) + 14}: {key}: "{text}" is not a time that a run can take: write, for example, 90m'],
        )
        for key in ("slow", "too_slow", "fast")
        for text in ("infinity", "0s", "-1h")
    ),
    *(
        (
            f"defaults: {{slow: {text}}}",
            [
                "f:1:18: slow is a time, more than once and at most 1000 times the usual time, or both: 1h, 3x, 1h or 3x, "
                f'and this is "{text}"'
            ],
        )
        for text in ("1x", "0.5x", "1000.01x", "1h or 1x", "x", "-3x", "1e3x", f"{'9' * 50}x")
    ),
    ("defaults: {slow: 3x or 1h}", ["f:1:18: slow: \"3x or 1h\" is not a duration: there is no unit 'x'"]),
    (
        "defaults: {too_slow: [1h], schedule: {}}",
        ["f:1:22: too_slow of defaults can't be a list", "f:1:38: schedule of defaults can't be a mapping"],
    ),
    ("defaults: {slow: 3h or 2x, too_slow: 2h}", ["f:1:18: defaults: slow 3h or 2x is above too_slow 2h"]),
    (
        "defaults: {slow: 3h}\njobs: {A: {warn: 1h, error: 1h, too_slow: 2h}}",
        ['f:2:43: job "A": slow 3h is above too_slow 2h'],
    ),
    ("defaults: {fast: 2h, slow: 1h}", ["f:1:18: defaults: fast 2h is above slow 1h"]),
    ("defaults: {fast: 2h, too_slow: 1h}", ["f:1:18: defaults: fast 2h is above too_slow 1h"]),
    (
        'defaults: {schedule: "0 30 2 * * ?"}',
        [
            'f:1:22: schedule "0 30 2 * * ?" has 6 of the five fields minute, hour, day of month, month and day of week '
            "(no seconds, no years)"
        ],
    ),
    ("jobs: {' ': {warn: 1h, error: 2h}}", ["f:1:8: a job needs a name, and this one is empty"]),
    (
        f"jobs: {{? {'x' * 501} : {{warn: 1h, error: 2h}}}}",
        ["f:1:10: a job's name has at most 500 characters, and this one has 501"],
    ),
    (
        'jobs: {"A\\0": {warn: 1h, error: 2h}}',
        ["f:1:8: a character that no text can hold in PostgreSQL"],
    ),
    ("jobs: {A: &x {warn: 1h, error: 2h}, B: *x}", ["f:1:40: an alias: write the value out, or use defaults"]),
    (
        "jobs: {A: {warn: !!python/object/apply:os.system [id], error: 2h}}",
        [
            "f:1:18: the tag tag:yaml.org,2002:python/object/apply:os.system: no tags here",
            'f:1:18: warn of job "A" can\'t be a list',
        ],
    ),
    ("jobs: {A: {warn: !exact 1h, error: 2h}}", ["f:1:18: !exact stands before a job's name only"]),
    ("jobs: {}\n---\njobs: {}", ["f:2:1: a second document: the configuration is one"]),
    ("jobs:\n  A\a: {}", ["f:2:4: a control character, U+0007: in a name, write it as an escape in double quotes"]),
    (b"jobs:\n  \xe9t\xe9: {}", ["f:2:3: this is not UTF-8: save the file as UTF-8"]),
    ("hosts: {a/b: {}}", ["f:1:9: \"a/b\" can't be a host's name: -H takes it for a socket directory or nothing"]),
    ("hosts: {a: {hots: x}}", ['f:1:13: unknown key "hots": did you mean "host"?']),
    ("hosts: {a: {zzz: x}}", ['f:1:13: unknown key "zzz": libpq has no such parameter']),
    ("hosts: {a: {port: http}}", ["f:1:19: port is a number from 1 to 65535"]),
    ("hosts: {a: {user: ' '}}", ["f:1:19: user has no value: leave it out for libpq's default"]),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[str(text)[:50] for text, _ in MISTAKES])
def test_a_mistake_is_said_with_its_place(text: str | bytes, expected: list[str]) -> None:
    assert mistakes(text) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"A": "b", "B": "C", "C": ""}, []),
        ({"A": "a"}, ['2:a circle, in which no job waits: "A" after "A"']),
        ({"A": "B", "B": "c", "C": "A"}, ['2:a circle, in which no job waits: "A" after "B" after "C" after "A"']),
        ({"X": "B", "A": "B", "B": "A"}, ['4:a circle, in which no job waits: "B" after "A" after "B"']),
        ({"A": "LAOD", "B": "D", "D": ""}, ['2:there is no job "LAOD" in this file']),
        ({"A": '!exact "b"', "B": ""}, ['2:there is no job "b" in this file']),
        ({'!exact "b"': "", "A": '!exact "b"'}, []),
    ],
)
def test_a_circle_and_a_job_that_is_not_there_are_refused_where_after_is(
    after: dict[str, str], expected: list[str], tmp_path: Path
) -> None:
    lines = [f"  {name}: {{after: {other}, warn: 1h, error: 2h}}\n" for name, other in after.items()]
    file = tmp_path / "jobs.yml"
    file.write_text("".join(["jobs:\n", *lines]))
    output = run_module("check_jobmon.ctl", "config", "check", str(file))
    found = [line for line in output.stderr.splitlines() if "warning" not in line]
    columns = {number: line.index("after: ") + 8 for number, line in enumerate(lines, 2)}
    assert found == [
        f"{file}:{number}:{columns[int(number)]}: after: {said}"
        for number, said in (one.split(":", 1) for one in expected)
    ]
    assert output.status == bool(expected)


def test_after_a_job_that_has_a_mistake_of_its_own_is_no_other_mistake() -> None:
    text = b"jobs: {A: {warn: 1h}, B: {warn: 1h, error: 2h, after: A}}"
    with pytest.raises(ConfigFileMistakes) as refused:
        read("f", text, kept=())
    assert str(refused.value) == 'f:1:8: job "A" has no error, neither of its own nor from defaults'


def test_long_circles_and_chains_are_found_and_cut() -> None:
    jobs = "".join(f"  J{n}: {{warn: 1h, error: 2h, after: J{(n + 1) % 9000}}}\n" for n in range(9000))
    with pytest.raises(ConfigFileMistakes) as refused:
        read("f", b"jobs:\n" + jobs.encode(), kept=())
    (mistake,) = refused.value.mistakes
    assert mistake.text.startswith('after: a circle, in which no job waits: "J0" after "J1" after "J2"')
    assert len(mistake.text) < 400


def test_mistakes_of_every_kind_are_said_at_once_and_exit_1(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yml"
    file.write_text(
        "defaults: {wran: 1h, warn: 3h, error: 2h}\n"
        "jobs:\n"
        "  ETL: {}\n"
        "\tCUBE: {warn: 1 fortnight}\n"
        "  etl: {sensitivity: -1}\n"
        "hosts:\n"
        "  db: {password: geheim}\n"
    )
    output = run_module("check_jobmon.ctl", "config", "check", str(file))
    assert (output.status, output.stdout) == (1, "")
    assert output.stderr.splitlines() == [
        f'{file}:1:12: unknown key "wran": did you mean "warn"?',
        f"{file}:1:28: defaults: warn 3h is above error 2h",
        f"{file}:4:1: a tab: YAML is indented with spaces",
        f"{file}:4:15: warn: \"1 fortnight\" is not a duration: there is no unit 'fortnight'",
        f'{file}:5:3: duplicate job "etl": "ETL" is in line 3 already',
        f'{file}:5:22: sensitivity is a number of failures, 0 to 32767, and this is "-1"',
        f"{file}:7:8: no password here, where everybody can read it: it belongs in ~/.pgpass (mode 600) of the user that "
        "connects, or in the file that passfile names",
    ]


def test_other_mistakes_are_said_beside_tabs_with_their_true_columns() -> None:
    assert mistakes("jobs:\n\tA: {warn: 1h, error: x}\n\tB: {wran: 1h, warn: 1h, error: 2h}\n") == [
        "f:2:1: a tab: YAML is indented with spaces",
        'f:2:23: error: "x" is not a duration: write, for example, 90m, 25h, 1d 12h or PT90M',
        "f:3:1: a tab: YAML is indented with spaces",
        'f:3:6: unknown key "wran": did you mean "warn"?',
    ]
    assert read("f", b"jobs: {}\n\t# a comment may have tabs\t\n").jobs == ()


def test_broken_yaml_says_where() -> None:
    (mistake,) = mistakes("jobs:\n  A: {warn: 1h\n  B: {}\n")
    assert mistake.startswith("f:3:4: this is not YAML: ")
    assert mistake.endswith("that starts in line 2")


@pytest.mark.parametrize("schedule", ["*/15 * * * *", "* 2 * * *", "@daily"])
def test_a_schedule_that_lacks_its_quotes_says_so(schedule: str) -> None:
    (mistake,) = mistakes(f"jobs:\n  A: {{warn: 1h, error: 2h}}\n  B:\n    schedule: {schedule}\n")
    assert mistake.startswith("f:4:1")
    assert mistake.endswith(": put a text that begins with such a character, as a schedule may, into double quotes")


@pytest.mark.parametrize("key", ["password", "sslpassword", "oauth_client_secret"])
def test_a_password_is_refused_without_being_repeated(key: str) -> None:
    (mistake,) = mistakes(f"hosts: {{db: {{host: db, {key}: geheim}}}}")
    assert mistake == (
        f"f:1:24: no {key} here, where everybody can read it: it belongs in ~/.pgpass (mode 600) of the user that "
        "connects, or in the file that passfile names"
    )


@pytest.mark.parametrize("dbname", ["postgresql://me:geheim@db/etl", "host=db password=geheim", "x password = geheim"])
def test_a_password_in_a_connection_string_is_refused_without_being_repeated(dbname: str) -> None:
    (mistake,) = mistakes(f"hosts: {{db: {{dbname: '{dbname}'}}}}")
    assert "the password in ~/.pgpass" in mistake
    (mistake,) = mistakes(f"hosts: {{db: '{dbname}'}}")
    assert "geheim" not in mistake


def test_what_is_odd_but_possible_is_a_warning() -> None:
    found = read("f", b"jobs: {!exact etl: {warn: 0s, error: -1h, sensitivity: 1}}".replace(b"0s", b"-2h"))
    assert [located("f", warning) for warning in sorted(found.warnings, key=lambda warning: warning.position)] == [
        'f:1:8: warning: job "etl" is !exact, so it matches no run: names in the log are upper case',
        'f:1:27: warning: warn: "-2h" is not positive, so the job is always missing',
        'f:1:39: warning: error: "-1h" is not positive, so the job is always missing',
    ]


def test_hosts_are_read_whatever_is_wrong_with_the_jobs() -> None:
    (host,) = read_hosts("f", b"jobs: {A: nonsense}\nhosts: {db: {host: h, port: 5433, sslmode: require, schema: jm}}")
    assert host.parameters == {"host": "h", "port": "5433", "sslmode": "require"}
    assert host.schema == "jm"
    with pytest.raises(ConfigFileMistakes) as refused:
        read_hosts("f", b"host: {db: {}}\nhosts: {db: {prot: 1}}")
    assert str(refused.value) == 'f:1:1: unknown key "host": did you mean "hosts"? (and 1 more)'


BOMB = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (i + 1, i + 1, i, i) for i in range(ord("a"), ord("z")))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * (LIMIT + 1), f"the file is larger than {LIMIT} bytes, which is the limit"),
        (b"[" * LIMIT, "nested too deep"),
        (b"{a: " * (DEPTH + 1), "nested too deep"),
        (b"- " * (LIMIT // 2), "nested too deep"),
        (BOMB, "an alias: write the value out, or use defaults"),
        (b"jobs: [" + b"*a," * (LIMIT // 4), "too many mistakes to go on"),
    ],
    ids=["large", "brackets", "braces", "dashes", "bomb", "aliases"],
)
def test_what_would_exhaust_the_reader_is_refused(data: bytes, reason: str) -> None:
    assert any(mistake.endswith(reason) for mistake in mistakes(data))


def test_no_more_of_a_huge_file_is_read_than_it_takes_to_refuse_it(tmp_path: Path) -> None:
    sparse = tmp_path / "huge.yml"
    with sparse.open("wb") as file:
        file.truncate(10**13)  # more than memory, and hours to read
    output = run_module("check_jobmon.ctl", "config", "check", str(sparse))
    assert (output.status, output.stdout) == (1, "")
    assert output.stderr == f"{sparse}:1:1: the file is larger than {LIMIT} bytes, which is the limit\n"


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30) | st.sampled_from(
    [
        "NO",
        "null",
        "~",
        "12:30",
        "",
        " ",
        "a b",
        "- x",
        "? x",
        "x: y",
        "#",
        "'",
        '"',
        "*a",
        "&a",
        "!t",
        "%",
        "@",
        "`",
        "<<",
    ]
)
TIMES = st.none() | st.builds(Duration, st.integers(0, 12), st.integers(0, 400), st.integers(1, 10**12))
REALS = st.none() | st.floats(1.0009765625, 1000, width=32).map(lambda number: float(f"{number:.6g}"))
JOBS = st.builds(
    JobConfig,
    NAMES,
    DURATIONS,
    DURATIONS,
    st.integers(0, 32767),
    st.booleans(),
    schedule=st.sampled_from([None, None, "30 2 * * *", " 0  3 * * * ", "@daily"]),
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Etc/GMT+3"]),
    slow=st.builds(Slow, TIMES, REALS),
    too_slow=TIMES,
    fast=TIMES,
    after=st.none() | NAMES.filter(bool),
    escalate=st.none() | st.integers(1, 32767),
    owner=st.sampled_from([None, "data team"]),
).filter(lambda job: not [*crossed(vars(job))])


@given(st.lists(JOBS, unique_by=lambda job: job.name))
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read_as_the_same(jobs: list[JobConfig]) -> None:
    text = write(jobs)
    assert read("f", text.encode()).jobs == tuple(sorted(jobs, key=lambda job: job.name))


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


@given(st.lists(JOBS, unique_by=lambda job: job.name))
@settings(max_examples=50, deadline=None)
def test_other_readers_of_yaml_find_the_same_names_in_what_is_written(jobs: list[JobConfig]) -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!exact", _text)
    found = yaml.load(write(jobs), Loader=Loader)["jobs"]
    assert list(found) == sorted(job.name for job in jobs)


def test_a_name_longer_than_a_yaml_key_may_be_is_written_and_read() -> None:
    jobs = [
        JobConfig("\a" * 500, Duration(0, 1), Duration(0, 2)),
        JobConfig("X" * 2000, Duration(0, 1), Duration(0, 2)),
    ]
    assert read("f", write(jobs).encode()).jobs == tuple(jobs)


def test_both_parsers_of_pyyaml_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for text, _ in MISTAKES]
    if not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML has no libyaml here, so the other tests have tried what there is")
    fast = [mistakes(text) for text in texts]
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert [mistakes(text) for text in texts] == fast

"""Durations mean what PostgreSQL takes them for, and are written so that they are read as the same."""

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from check_jobmon.config.config_table import IntervalLoader
from check_jobmon.config.durations import Duration, NotADuration, parse
from tests.database import value

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
DURATIONS = st.builds(Duration, INT32, INT32, INT64) | st.builds(
    Duration, st.integers(-30, 30), st.integers(-400, 400), st.integers(-(10**12), 10**12)
)


def servers(session: psycopg.Connection, text: str, style: str = "postgres") -> Any:
    """What the server makes of an interval."""
    session.adapters.register_loader("interval", IntervalLoader)
    session.execute(f"SET intervalstyle = {style}".encode())
    row = session.execute("SELECT %s::text::interval", [text], binary=True).fetchone()
    assert row is not None
    return row[0]


WRITTEN = [
    ("90m", Duration(0, 0, 5_400_000_000)),
    ("1d 12h", Duration(0, 1, 43_200_000_000)),
    ("1d12h", Duration(0, 1, 43_200_000_000)),
    ("25 hours", Duration(0, 0, 90_000_000_000)),
    ("2 Days", Duration(0, 2)),
    ("2w", Duration(0, 14)),
    ("1.5h", Duration(0, 0, 5_400_000_000)),
    ("0.5d", Duration(0, 0, 43_200_000_000)),
    ("1.5 months", Duration(1, 15)),
    ("1.5y", Duration(18)),
    ("1y 2mon 3d 04:05:06.7", Duration(14, 3, 14_706_700_000)),
    ("1 day -00:00:01", Duration(0, 1, -1_000_000)),
    ("-1 days +02:03:00", Duration(0, -1, 7_380_000_000)),
    ("@ 1 day 2 hours ago", Duration(0, -1, -7_200_000_000)),
    ("12:30", Duration(0, 0, 45_000_000_000)),
    ("-00:30", Duration(0, 0, -1_800_000_000)),
    ("3 4:05:06", Duration(0, 3, 14_706_000_000)),
    ("1-6", Duration(18)),
    ("-1-6", Duration(-18)),
    ("P1Y2M3DT4H5M6S", Duration(14, 3, 14_706_000_000)),
    ("PT90M", Duration(0, 0, 5_400_000_000)),
    ("P2W", Duration(0, 14)),
    ("P1DT-12H", Duration(0, 1, -43_200_000_000)),
    ("P0001-02-03T04:05:06", Duration(14, 3, 14_706_000_000)),
    ("PT0.000001S", Duration(0, 0, 1)),
    ("250ms 3us", Duration(0, 0, 250_003)),
    ("1 decade 2 yrs", Duration(144)),
    ("2 centuries", Duration(2400)),
]


@pytest.mark.parametrize(("text", "duration"), WRITTEN, ids=[text for text, _ in WRITTEN])
def test_what_people_write_is_what_the_server_reads(session: psycopg.Connection, text: str, duration: Duration) -> None:
    assert parse(text) == duration
    assert servers(session, text) == duration


UNITS = [
    ("us", "usec", "usecs", "microsecond", "microseconds"),
    ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    ("s", "sec", "secs", "second", "seconds"),
    ("m", "min", "mins", "minute", "minutes"),
    ("h", "hr", "hrs", "hour", "hours"),
    ("d", "day", "days"),
    ("w", "week", "weeks"),
    ("mon", "mons", "month", "months"),
    ("y", "yr", "yrs", "year", "years"),
    ("decade", "decades"),
    ("century", "centuries"),
]
AMOUNTS = st.lists(
    st.tuples(st.integers(-999, 999), st.sampled_from(["", " "]), st.sampled_from(UNITS), st.integers(0, 4)),
    min_size=1,
    unique_by=lambda amount: amount[2],
)


@given(AMOUNTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sum_of_units_is_what_the_server_reads(
    session: psycopg.Connection, amounts: list[tuple[int, str, tuple[str, ...], int]]
) -> None:
    text = " ".join(f"{number}{space}{names[place % len(names)]}" for number, space, names, place in amounts)
    assert servers(session, text) == parse(text)


@given(DURATIONS)
@settings(max_examples=1000, deadline=None)
def test_a_duration_is_written_as_what_is_read_as_the_same(duration: Duration) -> None:
    assert parse(str(duration)) == duration


@given(st.builds(Duration, INT32, st.integers(-(10**6), 10**6), st.integers(-(10**15), 10**15)))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_server_too_reads_what_is_written_in_any_style(session: psycopg.Connection, duration: Duration) -> None:
    for style in ("postgres", "iso_8601", "postgres_verbose", "sql_standard"):
        assert servers(session, str(duration), style) == duration


NO_DURATIONS = [
    ("", "is empty: write, for example, 90m, 25h or 1d 12h"),
    ("soon", "is not a duration: write, for example, 90m, 25h, 1d 12h or PT90M"),
    ("90", "has no unit: write 90s, 90m, 90h or 90d"),
    ("1d 30", "has no unit: write 30s, 30m, 30h or 30d"),
    ("25 hourz", "is not a duration: there is no unit 'hourz', but 'hour'"),
    ("1h 2h", "has hours twice"),
    ("1d 1w 2 days", "has days twice"),
    ("1:99", "has more than 59 minutes or seconds on its clock"),
    ("1-13", "has more than 11 months after its years"),
    ("P", "is not an ISO 8601 duration: write, for example, PT90M, P1DT12H or P2W"),
    ("PT", "is not an ISO 8601 duration: write, for example, PT90M, P1DT12H or P2W"),
    ("P1H", "is not an ISO 8601 duration: write, for example, PT90M, P1DT12H or P2W"),
    ("1h ago ago", "is not a duration: write, for example, 90m, 25h, 1d 12h or PT90M"),
    ("9999999999 days", "is out of the range of PostgreSQL's intervals"),
    ("٣h", "is not a duration: write, for example, 90m, 25h, 1d 12h or PT90M"),
    ("9" * 300 + "h", "is too long"),
]


@pytest.mark.parametrize(("text", "reason"), NO_DURATIONS, ids=[text[:20] for text, _ in NO_DURATIONS])
def test_what_is_no_duration_says_why(text: str, reason: str) -> None:
    with pytest.raises(NotADuration) as refused:
        parse(text)
    assert str(refused.value) == reason


def test_infinity_is_the_servers(session: psycopg.Connection) -> None:
    assert str(parse("Infinity")) == "infinity"
    assert parse(str(parse("-infinity"))) == parse("-infinity")
    if session.info.server_version >= 170000:
        assert servers(session, "infinity") == parse("infinity")
        assert servers(session, "-infinity") == parse("-infinity")


def test_a_day_is_not_24_hours_and_a_month_not_30_days(session: psycopg.Connection) -> None:
    assert parse("1d") != parse("24h")
    assert parse("1mon") != parse("30d")
    # though PostgreSQL, which decides what is above what, takes them for equal
    assert parse("1mon 1d").length == parse("31d").length == parse("744h").length
    assert value(session, "SELECT interval '1 mon 1 d' = interval '744 h'")

"""Compares the schema with what bootstrap makes there, to refuse what others added or changed. contents.sql has the rules."""

import re
from typing import TYPE_CHECKING, NamedTuple

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.schema.scripts import query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from check_jobmon.connection.session import Session

NAMED = 5
"""How many differences the error names."""


class Thing(NamedTuple):
    """An object of the schema, as contents.sql describes it."""

    relation: str | None
    name: str
    facts: str
    body: str | None
    may_be_missing: bool
    may_be_added: bool


def contents(connection: "Session", home: int) -> dict[str, Thing]:
    """The objects in the schema with the oid `home`, by name."""
    rows = connection.execute(query("contents"), {"home": home}).fetchall()
    return {row[1]: Thing(*row) for row in rows}


def differences(
    found: "Mapping[str, Thing]", scripts: "Mapping[str, Thing]", made: "Mapping[str, Thing]", due: str
) -> list[str]:
    """A line for each object that bootstrap did not make, or made differently, or that is missing.

    `scripts` has the objects that the numbered scripts applied so far make, `made` those that are there after a bootstrap.
    `due` is the text of the scripts yet to be applied: a function or trigger that one of them drops may be there, and an
    index that one of them creates IF NOT EXISTS may be missing.
    """
    drops = " ".join(re.findall(r"DROP (?:FUNCTION|PROCEDURE|ROUTINE)\s([^;]*);", due))
    dropped = {f"function {signature}" for signature in re.findall(r"\w+\([^()]*\)", drops)}
    dropped |= {
        f"trigger {name} of {table}" for name, table in re.findall(r"DROP TRIGGER IF EXISTS (\w+) ON \S+\.(\w+);", due)
    }
    remade = {
        f"index {name} of {table}" for name, table in re.findall(r"CREATE INDEX IF NOT EXISTS (\w+) ON \S+\.(\w+)", due)
    }
    ours = {name.partition("(")[0] for name in (*scripts, *made) if name.startswith("function ")}
    wrong = []
    for name, thing in found.items():
        if name in dropped:
            continue
        # a table's column that is not there yet is the site's own: the script that is to add it says so
        early = name.startswith("column ") and f"relation {thing.relation}" in scripts
        makers = (scripts,) if early else (scripts, made)
        expected = [one[name] for one in makers if name in one]
        if not expected:
            relation = f"relation {thing.relation}"
            # an object that a site may add, or a part of its own relation; never a function with one of our names
            tolerated = (thing.may_be_added and name.partition("(")[0] not in ours) or (
                name != relation and thing.relation and relation not in made
            )
            if not tolerated:
                wrong.append(f"{name} is not check_jobmon's")
        # bodies are compared only if no bootstrap replaces them
        elif not any(thing.facts == it.facts and (name not in scripts or thing.body == it.body) for it in expected):
            should = expected[0].facts
            wrong.append(
                f"{name} has another body"
                if thing.facts == should
                else f"{name} is {thing.facts[:100]}, not {should[:100]}"
            )
    needed = [name for name, it in scripts.items() if not it.may_be_missing and name not in remade]
    return wrong + [f"{name} is missing" for name in needed if name not in found]


def refuse(schema: str, wrong: "Sequence[str]") -> None:
    """Raise BootstrapError if anything is wrong."""
    if wrong:
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise BootstrapError(
            f'schema "{schema}" is not as bootstrap made it; nothing was changed ({"; ".join(wrong[:NAMED])}{more}): undo '
            "that as the schema's owner (DROP, ALTER, REVOKE)"
        )

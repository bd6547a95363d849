"""The package's .sql files and other texts, and how names and texts are quoted in SQL. Knows no file in particular."""

import functools
import os
import re
from collections.abc import Mapping
from typing import Any


def text_file(path: str) -> str:
    """The text of a file, by its path below check_jobmon/."""
    # asked of the loader as importlib.resources would, without all that this imports
    loader: Any = __spec__.loader
    data: bytes = loader.get_data(os.path.join(os.path.dirname(__file__), path))
    return data.decode()


@functools.cache
def sql_file(path: str) -> str:
    """The text of a .sql file, by the same path, without the comment at its top, which explains its placeholders.

    A path of that kind between two @, as in `@schema/client.sql@`, is replaced by the text of that file.
    """
    text = re.sub(r"\A(--.*\n)+", "", text_file(path))
    return re.sub(r"@([\w/]+\.sql)@", lambda included: sql_file(included[1]).rstrip(), text)


def quoted(identifier: str) -> str:
    """The identifier in double quotes, any inside doubled (PostgreSQL manual, 4.1.1)."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a literal of SQL."""
    import psycopg

    return psycopg.sql.Literal(text).as_string(None)


def fill(text: str, values: Mapping[str, str]) -> str:
    """The SQL with a value for each @placeholder@ that has one. In one pass, because a value can look like a placeholder.

    >>> fill("@a@ @b@ @c@", {"a": "@b@", "b": "1"})
    '@b@ 1 @c@'
    """
    return re.sub(r"@(\w+)@", lambda placeholder: values.get(placeholder[1], placeholder[0]), text)

"""The language that a literal block is in, by how it begins. Those that nothing here knows need a `code-block`.

tests/test_code_blocks.py has a check for each of these languages.
"""

import re

PROGRAMS = r"apt(-get)?|check_jobmon|dnf|dpkg-\w+|git|install|jobmonctl|ln|mkdir|pg_dump|pip|pipx|psql|python3?|rm|rpm\w*|su|uv"
LANGUAGES = {
    "console": r"(?m)^\$ ",
    "output": r"(JOBMON|STATE| job_id|schema \"\w+\") ",
    "cron": r"(#.*\n)?[\d*]+ [\d*]+ [\d*]+ [\d*]+ [\d*]+ ",
    "yaml": r"(defaults|jobs|hosts):",
    "systemd": r"\[(Unit|Service|Timer)\]",
    "sql": r"(ALTER|CREATE|DELETE|DROP|GRANT|INSERT|SELECT|SET|UPDATE) ",
    "postgresql.conf": r"\w+ = ",
    "nagios": r"define \w+ \{",
    "icinga2": r"(object|template|apply) \w+ \"",
    "json": r"\{",
    "pgpass": r"[\w.*]+:[\d*]+:[\w*]+:\w+:",
    "sh": rf"((sudo |[A-Z_]+='.*?' )?({PROGRAMS})|/\S+|\.?\w+/\S+) ",
}
LEXERS = {
    **{"nagios": "text", "icinga2": "text"},
    **{
        "output": "text",
        "cron": "text",
        "pgpass": "text",
        "systemd": "ini",
        "postgresql.conf": "ini",
        "sql": "postgres",
    },
    "unknown": "text",
}
"""The names by which Pygments knows them, where these are others."""


def language(block: str) -> str:
    """The name of the language.

    >>> language("$ jobmonctl status -d etl"), language("SELECT 1;"), language("to be or not to be")
    ('console', 'sql', 'unknown')
    """
    return next(
        (name for name, start in LANGUAGES.items() if re.match(start, block) or _anywhere(start, block)), "unknown"
    )


def _anywhere(start: str, block: str) -> bool:
    return start.startswith("(?m)") and re.search(start, block) is not None

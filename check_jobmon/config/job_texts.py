"""The texts that a job may have in the configuration file: owner, description and runbook, and what each may be."""

import re
from collections.abc import Callable

from check_jobmon.config.yaml_nodes import Node

_URL = r"""https?://[^\s\x00-\x1f\x7f-\x9f"<>|@/?#]+([/?#][^\s\x00-\x1f\x7f-\x9f"<>|]*)?"""


def _text(most: int, pattern: str, what: str) -> Callable[[Node], str | None]:
    """A converter to a text of that many characters at most; its message says `what` it is, and never quotes a password."""

    def convert(node: Node) -> str | None:
        text = "" if node.empty else node.text.strip()
        if len(text) > most:
            raise ValueError(f" has at most {most} characters, and this one has {len(text)}")
        if text and not re.fullmatch(pattern, text):
            raise ValueError(f" is {what}, and this is not")
        return text or None

    return convert


TEXTS = {
    "owner": _text(200, r"[^\x00-\x1f\x7f-\x9f]+", "one line of text"),
    "description": _text(2000, r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]+", "text without control characters"),
    "runbook": _text(500, _URL, "a URL like https://wiki.example.com/etl, without blanks, quotes or a password"),
}
"""The converters of these keys, which are columns of job_check_config too."""

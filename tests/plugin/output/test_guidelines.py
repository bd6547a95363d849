"""The reader of the guidelines' grammar takes what they show, and refuses what they forbid."""

from decimal import Decimal

import pytest

from tests.plugin.output.guidelines import Figure, parse


def test_the_guidelines_own_examples_are_read() -> None:
    parsed = parse("DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n/ 15272 MB (77%);\n")
    assert parsed.text == "DISK OK - free space: / 3326 MB (56%);"
    assert parsed.figures == [Figure("/", Decimal(2643), "MB", "5948", "5958", Decimal(0), Decimal(5968))]
    assert parsed.long_output == ["/ 15272 MB (77%);"]
    assert parse("X OK - y | 'a b'=U;~:10;@10:20 c=-1.5%;;;;100\n").values == {"a b": None, "c": Decimal("-1.5")}
    assert parse("X OK - nothing more\n").figures == []


BROKEN = [
    "no newline",
    "X | a=1\x1b\n",
    "X \u202e | a=1\n",
    "X | a=1 | b=2\n",
    "X | a=1\nlong | b=2\n",
    "X | a=1\n\nlong\n",
    "| a=1\n",
    "X | a=1 a=2\n",
    "X | a b=1\n",
    "X | 'a=1\n",
    "X | 'a=b'=1\n",
    "X | 'a''b'=1\n",
    "X | ''=1\n",
    "X | ' a'=1\n",
    "X | a=\n",
    "X | a=u\n",
    "X | a=1e3\n",
    "X | a=1,5\n",
    "X | a=.5\n",
    "X | a=1h\n",
    "X | a=Us\n",
    "X | a=1;2;3;4;5;6\n",
    "X | a=1;-5\n",
    "X | a=1;20:10\n",
    "X | a=1;inf\n",
    "X | a=1;;;x\n",
    "X | a=-1;;;0\n",
    "X | a=1  b=2\n",
]


@pytest.mark.parametrize("output", BROKEN)
def test_what_the_guidelines_forbid_is_refused(output: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        parse(output)

"""Shapes: patterns of text together with what they mean, and refusals in those words.

Whoever sends a wrong value reads what would be right ("stream: expected 1-64 of a-z 0-9 . _ -"),
never a regular expression.
"""

import re

import msgspec

#: The end of a pattern. Python's `$` alone would let one line break through.
END = r"$(?!\n)"

_MEANINGS: dict[str, str] = {}
_IN_DICT = re.compile(r"(\[\.\.\.\])+")  # msgspec does not tell the key


def shape(pattern: str, meaning: str, max_length: int | None = None) -> msgspec.Meta:
    """The mark of a text of this pattern: `Annotated[str, shape(...)]`."""
    _MEANINGS[pattern] = meaning
    return msgspec.Meta(pattern=pattern, description=meaning, max_length=max_length)


def meaning(pattern: str | None) -> str | None:
    """What a pattern means, when it is one of ours."""
    return _MEANINGS.get(pattern or "")


def explain(error: Exception) -> tuple[str, str]:
    """Where msgspec found a wrong value ("windows[0]"; "" for the whole), and what it expected."""
    what, _, path = str(error).partition(" - at `$")
    for pattern, meaning in _MEANINGS.items():
        what = what.replace(f"`str` matching regex {pattern!r}", meaning)
    where = _IN_DICT.sub("", path.removesuffix("`")).removeprefix(".")
    acronym = what[1:2].isupper()
    return where, what if acronym else what[:1].lower() + what[1:]


def wording(error: Exception) -> str:
    """One clear line of what `explain` tells."""
    where, what = explain(error)
    return f"{where}: {what}" if where else what

"""Shapes: patterns of text together with what they mean, and refusals in those words.

Whoever sends a wrong value reads what would be right ("stream: expected 1-64 of a-z 0-9 . _ -"),
never a regular expression.
"""

import re
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec.structs import fields

#: The end of a pattern. Python's `$` alone would let one line break through.
END = r"$(?!\n)"

_MEANINGS: dict[str, str] = {}
_NO_SUCH_WORD = "Invalid enum value "
_CLEARER = {"Input data was truncated": "it ends too early, or with half of a \\u pair"}
_IN_DICT = re.compile(r"(\[\.\.\.\])+")  # msgspec does not tell the key


def shape(pattern: str, meaning: str, max_length: int | None = None) -> msgspec.Meta:
    """The mark of a text of this pattern: `Annotated[str, shape(...)]`."""
    _MEANINGS[pattern] = meaning
    return msgspec.Meta(pattern=pattern, description=meaning, max_length=max_length)


def meaning(pattern: str | None) -> str | None:
    """What a pattern means, when it is one of ours."""
    return _MEANINGS.get(pattern or "")


def explain(error: Exception, kind: Any = None) -> tuple[str, str]:
    """Where msgspec found a wrong value ("windows[0]"; "" for the whole), and what it expected.

    `kind`: the type that it should have been, to name the words among which one can choose.
    """
    what, _, path = str(error).partition(" - at `$")
    what = _CLEARER.get(what, what)
    for pattern, meaning in _MEANINGS.items():
        what = what.replace(f"`str` matching regex {pattern!r}", meaning)
    where = _IN_DICT.sub("", path.removesuffix("`")).removeprefix(".")
    if what.startswith(_NO_SUCH_WORD) and (words := _words(kind, where)):
        what = f"expected {', '.join(words)}, not {what.removeprefix(_NO_SUCH_WORD)}"
    acronym = what[1:2].isupper()
    return where, what if acronym else what[:1].lower() + what[1:]


def wording(error: Exception, kind: Any = None) -> str:
    """One clear line of what `explain` tells."""
    where, what = explain(error, kind)
    return f"{where}: {what}" if where else what


def _words(kind: Any, where: str) -> list[str]:
    """The words of a type of them, or of the field `where` of a Struct."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _words({one.name: one.type for one in fields(kind)}.get(where), "")
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    return [word for part in get_args(kind) for word in _words(part, "")]

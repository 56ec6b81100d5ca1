"""The text of a path or a query as the values that the fields of an ask take.

Numbers are those of JSON: neither int("1_0") nor int("١٢") is one, and 1e3 is no count. A word is
itself: a stream may be called "null".
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_args, get_type_hints

import msgspec

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_WORDS = {"true": True, "false": False}


def values_of(texts: Mapping[str, str], ask: type[msgspec.Struct]) -> dict[str, Any]:
    """Each text as what its field takes; one that cannot be it stays a text, to be refused."""
    kinds = _kinds(ask)
    return {name: _value(text, kinds.get(name, str)) for name, text in texts.items()}


def _value(text: str, kind: type) -> Any:
    if kind is int and _INTEGER.fullmatch(text):
        return int(text)
    if kind is bool:
        return _WORDS.get(text, text)
    return text


@lru_cache
def _kinds(ask: type[msgspec.Struct]) -> dict[str, type]:
    return {name: _kind(hint) for name, hint in get_type_hints(ask).items()}


def _kind(hint: Any) -> type:
    """What is not None of a field's type."""
    return next((one for one in (bool, int) if one in (hint, *get_args(hint))), str)

"""The reference documents, rendered from what is declared: exchanges, messages, settings.

Everything comes from the JSON Schemas that msgspec makes of the declared types, so the documents
cannot say anything else than what is checked at run time. `docs/generate.py` writes the files.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cluster.exchange import JSON, Exchange, Nothing
from cluster.problem import CODES
from cluster.settings import PREFIX, settings_of
from cluster.shape import meaning

AnyExchange = Exchange[Any, Any]
Schema = dict[str, Any]
#: Replies that are no messages.
PLAIN: dict[Any, str] = {str: "text", bytes: "a file"}
_REF = "#/components/schemas/"
_LIMITS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("exclusiveMinimum", "above {}"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} of them"),
    ("maxItems", "at most {} of them"),
)


def exchanges_section(title: str, exchanges: Iterable[AnyExchange]) -> list[str]:
    """One heading with a table of the exchanges and a paragraph for each."""
    exchanges = list(exchanges)
    rows = [
        (f"[`{one.method} {one.path}`](#{_anchor(_heading(title, one))})", one.summary)
        for one in exchanges
    ]
    lines = [f"## {title}", "", *_table(("exchange", "what it is for"), rows)]
    for exchange in exchanges:
        lines += ["", f"### {_heading(title, exchange)}", "", *_exchange(exchange)]
    return [*lines, ""]


def messages_section(exchanges: Iterable[AnyExchange], more: Iterable[type]) -> list[str]:
    """Every message: what it says of itself, and its fields. `more`: those that no ask names."""
    kinds = {kind for one in exchanges for kind in (one.ask, one.reply) if kind not in PLAIN}
    lines = ["## Messages", ""]
    for name, schema in sorted(_schemas([*kinds, *more])[1].items()):
        if name == Nothing.__name__:
            continue
        lines += [f"### {name}", "", *_paragraphs(schema.get("description", "")), ""]
        lines += [*_table(("field", "type", "default"), _fields(schema)), ""]
    return lines


def problems_section() -> list[str]:
    """Every code with its status and its title."""
    rows = [(f"`{code}`", str(status), title) for code, (status, title) in CODES.items()]
    return ["## Problem codes", "", *_table(("code", "status", "title"), rows), ""]


def settings_section(program: str, command: str, kind: type[msgspec.Struct]) -> list[str]:
    """One program's settings: flag, variable, type, default, meaning."""
    _, schemas = _schemas([kind])
    schema = schemas[kind.__name__]
    rows = []
    for name in settings_of(kind):
        field = schema["properties"][name]
        about = field.get("description", "")
        shape = {key: value for key, value in field.items() if key != "description"}
        if "anyOf" in shape:  # what may be left out has no default; `null` cannot be written
            shape = next(one for one in shape["anyOf"] if one != {"type": "null"})
        rows.append(
            (
                f"`--{name.replace('_', '-')}`",
                f"`{PREFIX}_{program.upper()}_{name.upper()}`",
                _type(shape),
                _default(name, field, schema),
                _cell(about),
            )
        )
    head = ("flag", "variable", "type", "default", "meaning")
    return [f"## `{command}`", "", schema["description"], "", *_table(head, rows), ""]


def _schemas(kinds: Iterable[Any]) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    return msgspec.json.schema_components(kinds, ref_template=_REF + "{name}")


def _exchange(exchange: AnyExchange) -> list[str]:
    """What goes in, what comes out, and which refusals to expect."""
    schema = _schemas([exchange.ask])[1][exchange.ask.__name__]
    properties = schema.get("properties", {})
    in_path = [name for name in properties if f"{{{name}}}" in exchange.path]
    lines = [f"{exchange.summary}.{_who(exchange)}", ""]
    if exchange.has_body and exchange.takes != (JSON,):
        lines += [f"Body: {_types(exchange.takes)}, at most {exchange.body_max:,} bytes.", ""]
    elif exchange.has_body and len(properties) > len(in_path):
        lines += [
            f"Body: {_message(exchange.ask.__name__)}, at most {exchange.body_max:,} bytes.",
            "",
        ]
    if properties:
        places = "body" if exchange.has_body else "query"
        rows = [
            (row[0], "path" if name in in_path else places, *row[1:])
            for name, row in zip(properties, _fields(schema), strict=True)
        ]
        lines += [*_table(("parameter", "in", "type", "default"), rows), ""]
    reply = PLAIN.get(exchange.reply) or _message(exchange.reply.__name__)
    lines += [f"Answer: {exchange.status}, {reply} as {_types(exchange.gives)}."]
    if exchange.refusals:
        refusals = ", ".join(f"`{code}` ({CODES[code][0]})" for code in exchange.refusals)
        lines += ["", f"Refusals: {refusals}."]
    return lines


def _who(exchange: AnyExchange) -> str:
    """Who may ask, where that is not as always."""
    if exchange.public:
        return " No token is needed."
    return f" A {' or '.join(exchange.also)} may ask as well." if exchange.also else ""


def _fields(schema: Schema) -> list[tuple[str, str, str]]:
    """Name, type and default of each field."""
    return [
        (f"`{name}`", _type(field), _default(name, field, schema))
        for name, field in schema.get("properties", {}).items()
    ]


def _default(name: str, field: Schema, schema: Schema) -> str:
    if name in schema.get("required", []):
        return "needed"
    value = field.get("default")
    return "" if value in (None, []) else f"`{json.dumps(value)}`"


def _type(schema: Schema) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        return _message(schema["$ref"].removeprefix(_REF))
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "prefixItems" in schema:
        return f"array: {', '.join(_type(one) for one in schema['prefixItems'])}"
    words = [schema.get("type", "any JSON")]
    if isinstance(items := schema.get("items"), dict) and items:
        words = [f"array of {_type(items)}"]
    limits = [text.format(f"{schema[key]:,}") for key, text in _LIMITS if key in schema]
    if "minimum" in schema and "maximum" in schema:
        limits[:2] = [f"{schema['minimum']:,} to {schema['maximum']:,}"]
    about = [text] if (text := schema.get("description") or meaning(schema.get("pattern"))) else []
    return _cell("; ".join([*words, *about, *limits]))


def _heading(title: str, exchange: AnyExchange) -> str:
    return f"{title}: {exchange.method} {exchange.path}"


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _message(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _types(kinds: tuple[str, ...]) -> str:
    return " or ".join(f"`{kind}`" for kind in kinds)


def _paragraphs(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        "|" + " --- |" * len(head),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def document(*sections: Iterable[str]) -> str:
    """The sections as one Markdown file."""
    lines: list[str] = [line for section in sections for line in section]
    return "\n".join(lines).rstrip() + "\n"


def grouped(both: Mapping[str, tuple[AnyExchange, ...]]) -> dict[str, list[AnyExchange]]:
    """The exchanges of all services under "Every service", and the others under their own."""
    shared = [one for one in next(iter(both.values())) if all(one in own for own in both.values())]
    return {"Every service": shared} | {
        title: [one for one in own if one not in shared] for title, own in both.items()
    }

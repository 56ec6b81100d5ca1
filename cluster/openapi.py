"""OpenAPI 3.1 made from the exchanges."""

from typing import Any

import msgspec
from aiohttp import web

from cluster import VERSION
from cluster.exchange import JSON, Exchange
from cluster.problem import CODES, MEDIA_TYPE, Problem

AnyExchange = Exchange[Any, Any]
#: What any exchange may answer, what one with a token, and what one with a body.
ALWAYS = (
    "bad_request",
    "foreign_origin",
    "too_slow",
    "foreign_host",
    "bad_value",
    "internal",
    "busy",
    "storage_failed",
    "not_ready",
)
WITH_TOKEN = ("unauthorized", "forbidden", "too_many_requests")
_NO_SIGNS = str.maketrans({"/": "_", ".": "_", "{": "", "}": ""})
WITH_BODY = ("bad_json", "too_large", "unsupported_type")


def document(title: str, exchanges: tuple[AnyExchange, ...]) -> dict[str, Any]:
    """The whole document, ready to be encoded as JSON."""
    types = {
        kind
        for one in exchanges
        for kind in (one.ask, one.reply, one.body)
        if kind not in (str, bytes, None)
    }
    _, components = _schemas([*types, Problem])
    paths: dict[str, dict[str, Any]] = {}
    for exchange in exchanges:
        paths.setdefault(exchange.path, {})[exchange.method.lower()] = _operation(
            exchange, components
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def document_response(title: str, exchanges: tuple[AnyExchange, ...]) -> web.Response:
    """The answer to GET /openapi.json."""
    return web.Response(body=msgspec.json.encode(document(title, exchanges)), content_type=JSON)


def _schemas(types: list[Any]) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")


def _operation(exchange: AnyExchange, components: dict[str, Any]) -> dict[str, Any]:
    schema = components[exchange.ask.__name__]
    operation: dict[str, Any] = {
        "operationId": _operation_id(exchange),
        "summary": exchange.summary,
        "parameters": [
            _parameter(name, kind, exchange, schema)
            for name, kind in schema.get("properties", {}).items()
            if not exchange.has_body or f"{{{name}}}" in exchange.path
        ],
        "responses": {str(exchange.status): _reply(exchange)} | _refusals(exchange),
    }
    if exchange.has_body:
        operation["requestBody"] = _body(exchange, schema)
    if exchange.public:
        operation["security"] = []
    return operation


def _operation_id(exchange: AnyExchange) -> str:
    return f"{exchange.method.lower()}{exchange.path.translate(_NO_SIGNS)}"


def _parameter(
    name: str, kind: dict[str, Any], exchange: AnyExchange, schema: dict[str, Any]
) -> dict[str, Any]:
    in_path = f"{{{name}}}" in exchange.path
    return {
        "name": name,
        "in": "path" if in_path else "query",
        "required": in_path or name in schema.get("required", []),
        "schema": _said(kind),
    }


def _said(kind: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter: to leave it out is the only way to say null."""
    kinds = [one for one in kind.get("anyOf", [kind]) if one != {"type": "null"}]
    (only,) = kinds
    return {
        key: value
        for key, value in (kind | only).items()
        if (key, value) != ("default", None) and key != "anyOf"
    }


def _body(exchange: AnyExchange, schema: dict[str, Any]) -> dict[str, Any]:
    """The body: the ask without its path, or what else it is. Only JSON has a schema."""
    content: dict[str, Any] = {kind: {} for kind in exchange.takes}
    in_path = {name for name in schema.get("properties", {}) if f"{{{name}}}" in exchange.path}
    required = [name for name in schema.get("required", []) if name not in in_path]
    if exchange.body is not None:
        (body,), _ = _schemas([exchange.body])
    elif in_path:
        properties = {key: kind for key, kind in schema["properties"].items() if key not in in_path}
        body = schema | {"properties": properties, "required": required}
    else:
        body = {"$ref": f"#/components/schemas/{exchange.ask.__name__}"}
    content[JSON] = {"schema": body}
    return {"content": content, "required": bool(required)}


def _reply(exchange: AnyExchange) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {} for kind in exchange.gives}
    if JSON in content:
        name = exchange.reply.__name__
        content[JSON] = {"schema": {"$ref": f"#/components/schemas/{name}"}}
    reply: dict[str, Any] = {"description": exchange.summary, "content": content}
    if exchange.following:
        found = {name: f"$response.body#/{member}" for name, member in exchange.following}
        reply["links"] = {
            "following": {"operationId": _operation_id(exchange), "parameters": found}
        }
    return reply


def _refusals(exchange: AnyExchange) -> dict[str, Any]:
    """Each status that a refusal may have, with its codes."""
    by_status: dict[str, list[str]] = {}
    codes = [*ALWAYS, *exchange.refusals]
    codes += () if exchange.public else WITH_TOKEN
    codes += WITH_BODY if exchange.has_body else ()
    codes += ("not_found",) if "{" in exchange.path else ()
    for code in sorted(set(codes), key=list(CODES).index):
        by_status.setdefault(str(CODES[code][0]), []).append(code)
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": ", ".join(codes), "content": problem}
        for status, codes in by_status.items()
    }

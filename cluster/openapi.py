"""OpenAPI 3.1 made from the exchanges."""

from typing import Any

import msgspec
from aiohttp import web

from cluster import VERSION
from cluster.exchange import JSON, Exchange
from cluster.problem import CODES, MEDIA_TYPE, Problem

AnyExchange = Exchange[Any, Any]
ALWAYS = (
    *("unauthorized", "forbidden", "foreign_origin", "foreign_host", "too_many_requests"),
    *("bad_value", "internal"),
)


def document(title: str, exchanges: tuple[AnyExchange, ...]) -> dict[str, Any]:
    """The whole document, ready to be encoded as JSON."""
    types = [kind for one in exchanges for kind in (one.ask, one.reply) if kind is not str]
    _, components = msgspec.json.schema_components(
        [*types, Problem], ref_template="#/components/schemas/{name}"
    )
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


def _operation(exchange: AnyExchange, components: dict[str, Any]) -> dict[str, Any]:
    schema = components[exchange.ask.__name__]
    operation: dict[str, Any] = {
        "summary": exchange.summary,
        "parameters": [
            _parameter(name, kind, exchange, schema)
            for name, kind in schema.get("properties", {}).items()
            if not exchange.has_body or f"{{{name}}}" in exchange.path
        ],
        "responses": {str(exchange.status): _reply(exchange)} | _refusals(exchange),
    }
    if exchange.has_body:
        body = _body(exchange, schema)
        operation["requestBody"] = {"content": dict.fromkeys(exchange.takes, body)}
    if exchange.public:
        operation["security"] = []
    return operation


def _parameter(
    name: str, kind: dict[str, Any], exchange: AnyExchange, schema: dict[str, Any]
) -> dict[str, Any]:
    in_path = f"{{{name}}}" in exchange.path
    return {
        "name": name,
        "in": "path" if in_path else "query",
        "required": in_path or name in schema.get("required", []),
        "schema": kind,
    }


def _body(exchange: AnyExchange, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a JSON body: the ask without its path. Rows are told of in docs/protocol.md."""
    if exchange.takes != (JSON,):
        return {}
    in_path = {name for name in schema.get("properties", {}) if f"{{{name}}}" in exchange.path}
    if not in_path:
        return {"schema": {"$ref": f"#/components/schemas/{exchange.ask.__name__}"}}
    properties = {key: kind for key, kind in schema["properties"].items() if key not in in_path}
    required = [name for name in schema.get("required", []) if name not in in_path]
    return {"schema": schema | {"properties": properties, "required": required}}


def _reply(exchange: AnyExchange) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {} for kind in exchange.gives}
    if JSON in content:
        name = exchange.reply.__name__
        content[JSON] = {"schema": {"$ref": f"#/components/schemas/{name}"}}
    return {"description": exchange.summary, "content": content}


def _refusals(exchange: AnyExchange) -> dict[str, Any]:
    """Each status that a refusal may have, with its codes."""
    by_status: dict[str, list[str]] = {}
    for code in (*ALWAYS, *exchange.refusals):
        by_status.setdefault(str(CODES[code][0]), []).append(code)
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": ", ".join(codes), "content": problem}
        for status, codes in by_status.items()
    }

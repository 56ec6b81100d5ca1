"""The OpenAPI 3.1 document of each service: complete, and consistent in itself."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.exchange import Exchange
from cluster.problem import CODES
from cluster.protocol import central, node
from tests.protocol.conftest import Api

AnyExchange = Exchange[Any, Any]
EXCHANGES: dict[str, tuple[AnyExchange, ...]] = {
    "node": node.EXCHANGES,
    "central": central.EXCHANGES,
}
SCHEMA_WORDS = {
    *("type", "title", "description", "properties", "required", "items", "prefixItems", "anyOf"),
    *("enum", "const", "default", "pattern", "additionalProperties", "$ref", "format"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
}
TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}


@pytest.fixture(params=EXCHANGES)
async def served(
    request: pytest.FixtureRequest, node: Api, central: Api
) -> tuple[dict[str, Any], tuple[AnyExchange, ...]]:
    """What a service says of itself, and what is declared of it."""
    api = node if request.param == "node" else central
    answer = await api.ask("GET", "/openapi.json")
    assert answer.status == 200
    return answer.json, EXCHANGES[request.param]


Served = tuple[dict[str, Any], tuple[AnyExchange, ...]]


def within(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside of a document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from within(item)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


async def test_every_exchange_is_there_and_nothing_else(served: Served) -> None:
    document, exchanges = served

    assert document["openapi"] == "3.1.0"
    assert set(document["info"]) >= {"title", "version"}
    declared = {(one.method, one.path) for one in exchanges}
    assert {(method, path) for method, path, _ in operations(document)} == declared


async def test_every_reference_leads_somewhere(served: Served) -> None:
    document, _ = served
    references = {one["$ref"] for one in within(document) if "$ref" in one}

    assert references
    for reference in references:
        target: Any = document
        assert reference.startswith("#/")
        for part in reference[2:].split("/"):
            target = target[part]


async def test_every_parameter_of_a_path_is_declared_and_no_other(served: Served) -> None:
    document, _ = served

    for method, path, operation in operations(document):
        parameters = operation["parameters"]
        in_path = {one["name"] for one in parameters if one["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert all(one["in"] in ("path", "query") for one in parameters)
        assert ("requestBody" in operation) == (method in ("POST", "PATCH"))


async def test_the_body_of_a_request_does_not_repeat_its_path(served: Served) -> None:
    """A client made from the document must not send the name twice: that is refused."""
    document, _ = served

    for _, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = content.get("schema", {})
            if reference := schema.get("$ref"):
                schema = document["components"]["schemas"][reference.rpartition("/")[2]]
            assert not set(schema.get("properties", {})) & set(re.findall(r"{(\w+)}", path))


async def test_every_schema_is_one(served: Served) -> None:
    """Known words only, known types only, patterns that compile."""
    document, _ = served

    for schema in document["components"]["schemas"].values():
        stack = [schema]
        while stack:
            one = stack.pop()
            assert set(one) <= SCHEMA_WORDS, one
            assert one.get("type", "object") in TYPES
            assert set(one.get("required", [])) <= set(one.get("properties", {}))
            re.compile(one.get("pattern", ""))
            stack += one.get("properties", {}).values()
            stack += one.get("anyOf", []) + one.get("prefixItems", [])
            stack += [one["items"]] if isinstance(one.get("items"), dict) else []


async def test_every_answer_is_described(served: Served) -> None:
    """The good one with its type, and each refusal as problem+json with its codes."""
    document, exchanges = served
    by_place: dict[tuple[str, str], AnyExchange] = {
        (one.method, one.path): one for one in exchanges
    }

    for method, path, operation in operations(document):
        exchange = by_place[method, path]
        assert set(operation["responses"][str(exchange.status)]["content"]) == set(exchange.gives)
        for code in exchange.refusals:
            refusal = operation["responses"][str(CODES[code][0])]
            assert code in refusal["description"]
            assert set(refusal["content"]) == {"application/problem+json"}


async def test_only_the_open_exchanges_need_no_token(served: Served) -> None:
    document, exchanges = served
    open_paths = {one.path for one in exchanges if one.public}

    assert document["security"] == [{"token": []}]
    assert {
        path for _, path, one in operations(document) if one.get("security") == []
    } == open_paths

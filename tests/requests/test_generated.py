"""Requests generated from the OpenAPI document that each service serves, with every check.

schemathesis makes right and wrong ones, then stories of several, and judges each answer by the
document: no status, type or field that is not in it, nothing wrong accepted, nothing right refused.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from central import app as central_app
from central.parts import PARTS
from central.settings import CentralSettings
from tests.protocol.conftest import TOKEN, Api, serving

CASES = int(os.environ.get("TIDEHOLD_CASES", "200"))  # of each service, at least
PHASES = ("coverage", "fuzzing", "stateful")
EXAMPLES = max(1, min(100, CASES // 200))  # for each operation in a round


def settings(seed: int) -> SchemathesisConfig:
    """Everything is checked. What deviates says why."""
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "suppress-health-check": ["all"],  # they judge how fast it generates
            "cache": {"enabled": False},
            "headers": {"Authorization": f"Bearer {TOKEN}"},
            "request-timeout": 30,
            # Too much of something is refused as such.
            "checks": {
                "negative_data_rejection": {
                    "expected-statuses": [400, 401, 403, 404, 405, 406, 409, 413, 415, 422]
                }
            },
            "generation": {"max-examples": EXAMPLES, "database": "none", "no-shrink": True},
            "operations": [
                {
                    # A row can be wrong in what no schema says: a hash that is not that of its
                    # content, another node's name, an id without a time.
                    "include-name": "POST /v1/records",
                    "checks": {
                        "positive_data_acceptance": {
                            "expected-statuses": ["2xx", "400", "409", "415", "422"]
                        }
                    },
                },
                {
                    # A node may be called test: the others are those of /v1/nodes/{name}.
                    "include-name": "POST /v1/nodes/test",
                    "checks": {"allow_header_conformance": {"enabled": False}},
                },
                {
                    # To cancel a run is to end it: it is remembered, with its end.
                    "include-name": ["DELETE /v1/runs/{id}", "GET /v1/runs/{id}"],
                    "checks": {"use_after_free": {"enabled": False}},
                },
                {
                    # What a gateway says of a node that does not answer is no fault of its own.
                    "include-name": [
                        "POST /v1/nodes/test",
                        "PATCH /v1/nodes/{name}/source",
                        "POST /v1/nodes/{name}/clock/sync",
                    ],
                    "checks": {"not_a_server_error": {"expected-statuses": ["2xx", "4xx", "502"]}},
                },
            ],
        }
    )


class Outcome:
    """What a round came to."""

    def __init__(self) -> None:
        self.cases = 0
        self.phases: dict[str, Status] = {}
        self.failures: list[str] = []

    def note(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.ScenarioFinished):
            self.cases += len(event.recorder.cases)
            for case_id, checks in event.recorder.checks.items():
                for check in checks:
                    if check.failure_info is not None:
                        answer = event.recorder.interactions[case_id].response
                        said = f"{answer.status_code} {answer.content[:500]!r}" if answer else ""
                        self.failures.append(
                            f"{check.failure_info.failure}\n{said}\n{check.failure_info.code_sample}"
                        )
        elif isinstance(event, events.PhaseFinished):
            self.phases[event.phase.name.value] = event.status
        elif isinstance(event, events.NonFatalError | events.FatalError):
            self.failures.append(str(event))


def ask_all(url: str, seed: int) -> Outcome:
    """One round against a service."""
    outcome = Outcome()
    schema = schemathesis.openapi.from_url(
        f"{url}openapi.json",
        config=settings(seed),
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    for event in from_schema(schema).execute():
        outcome.note(event)
    return outcome


@pytest.fixture
async def fleet(
    node: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, Api]]:
    """The node n1, and a central that knows it. No name is looked up, no stream is endless."""
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo
    monkeypatch.setattr(
        loop,
        "getaddrinfo",
        lambda *args, **more: look_up(*args, **more | {"flags": socket.AI_NUMERICHOST}),
    )
    monkeypatch.setattr("central.stream.FLUSH_S", 0.0)
    made = CentralSettings(data=str(tmp_path / "central"), ntp_port=0, node_net=("127.0.0.0/8",))
    app = central_app.build_app(made, TOKEN)
    async with serving(app) as base:
        central = Api(node._session, base)
        url = str(node.base).rstrip("/")
        assert (await central.ask("POST", "/v1/nodes", {"name": "n1", "url": url})).status == 200
        ending = asyncio.ensure_future(end_streams(app))
        yield {"node": node, "central": central}
        ending.cancel()


async def end_streams(app: Any) -> None:
    while True:
        await asyncio.sleep(0.02)
        app[PARTS].context.board.close()


@pytest.mark.fault(38)
@pytest.mark.timeout(60 + CASES // 10)
@pytest.mark.parametrize("name", ["node", "central"])
async def test_every_answer_is_as_documented(
    fleet: dict[str, Api], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No failure of any check, no 5xx and no bug in the log, whatever is asked."""
    cases, seed = 0, 0
    while cases < CASES:
        outcome = await asyncio.to_thread(ask_all, str(fleet[name].base), seed)
        assert not outcome.failures, "\n\n".join(outcome.failures)
        assert [outcome.phases[phase] for phase in PHASES] == [Status.SUCCESS] * len(PHASES)
        cases, seed = cases + outcome.cases, seed + 1
    assert [one for one in caplog.records if one.exc_info or one.name == "asyncio"] == []

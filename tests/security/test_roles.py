"""Whom a token stands for, and how far it reaches: a table over every exchange of both services."""

from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from cluster.exchange import Exchange, Nothing, Role
from cluster.peer import PeerFailed
from cluster.protocol import central, node
from cluster.protocol.central import Hello
from tests.security.members import Members, ask

OPERATOR, VIEWER, NODE, CENTRAL = (f"a-token-of-{role}-0123456789" for role in "ovnc")
OUTSIDE: dict[str, dict[str, tuple[Role, ...]]] = {
    "node": {OPERATOR: ("operator",), VIEWER: ("viewer",), CENTRAL: ("central",)},
    "central": {OPERATOR: ("operator",), VIEWER: ("viewer",), NODE: ("node",)},
}
HELLO = Hello(name="n1", url="http://127.0.0.1:9", boot="0123abcd")
pytestmark = pytest.mark.fault(61)


async def started(fleet: Members, service: str) -> str:
    own = {
        "token_file": fleet.token("operators", OPERATOR),
        "viewer_token_file": fleet.token("viewers", VIEWER),
    }
    if service == "node":
        central_s = fleet.token("central", CENTRAL)
        return await fleet.node("n1", **own, central=None, central_token_file=central_s)
    return await fleet.central(**own, node_token_file=fleet.token("nodes", NODE))


async def status_of(
    session: ClientSession, base: str, exchange: Exchange[Any, Any], token: str | None
) -> tuple[int, bytes]:
    """The answer to an ask that is empty; of one that is let in, only that it begins."""
    path = exchange.path.format(name="nobody", id="1")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with session.request(
        exchange.method, URL(base + path), headers=headers, timeout=ClientTimeout(total=10)
    ) as answer:
        refused = answer.status in (401, 403, 429)
        return answer.status, await answer.read() if refused else b""


@pytest.mark.parametrize(
    ("service", "exchanges"), [("node", node.EXCHANGES), ("central", central.EXCHANGES)]
)
async def test_each_role_reaches_as_far_as_it_says(
    fleet: Members, session: ClientSession, service: str, exchanges: tuple[Any, ...]
) -> None:
    base = await started(fleet, service)
    seen, said = {}, {}

    for exchange in exchanges:
        for token, (role,) in OUTSIDE[service].items():
            status, _ = await status_of(session, base, exchange, token)
            allowed = exchange.public or role in exchange.roles
            seen[exchange.method, exchange.path, role] = status not in (401, 403)
            said[exchange.method, exchange.path, role] = allowed
        for nobody in (None, "a-token-of-nobody-0123456789"):
            status, _ = await status_of(session, base, exchange, nobody)
            assert status == 401 or exchange.public

    assert seen == said
    reached = {
        role: {key[0] for key, may in seen.items() if key[2] == role and may}
        for role in ("viewer", "node")
    }
    assert reached["viewer"] == {"GET"}
    may_hello = {key[1] for key, may in seen.items() if key[2] == "node" and may}
    assert may_hello <= {"/healthz", "/v1/nodes"}


@pytest.mark.fault(68)
async def test_a_node_speaks_for_itself_alone(fleet: Members) -> None:
    """Its token is bound to its name; it can neither add another nor command anybody."""
    tokens = fleet.token("nodes", f"{NODE} node=n1", f"{NODE}-2 node=n2")
    url = await fleet.central(node_token_file=tokens)
    peer = await fleet.peer(url, NODE)

    assert (await ask(peer, central.HELLO, HELLO)).name == "n1"
    for other in (
        Hello(name="n2", url="http://127.0.0.1:9", boot="0123abcd"),
        Hello(name="n1", url="http://127.0.0.1:9"),  # as an operator adds a node
    ):
        with pytest.raises(PeerFailed) as refused:
            await ask(peer, central.HELLO, other)
        assert refused.value.problem is not None
        assert refused.value.problem.code == "forbidden"


@pytest.mark.fault(68)
async def test_a_node_that_is_taken_over_cannot_command_another(fleet: Members) -> None:
    """What central brings to one node opens no other."""
    brought = fleet.token("brought", f"{CENTRAL}-1 node=n1", f"{CENTRAL}-2 node=n2")
    nodes = fleet.token("nodes", NODE)
    url = await fleet.central(central_token_file=brought, node_token_file=nodes)
    first, second = [
        await fleet.node(
            f"n{number}",
            node_token_file=nodes,
            central_token_file=fleet.token(f"central{number}", f"{CENTRAL}-{number}"),
        )
        for number in (1, 2)
    ]
    operator = await fleet.peer(url, "an-operator-of-tests-0123456789")
    for name in ("n1", "n2"):
        await fleet.until_up(operator, name)

    taken = await fleet.peer(second, f"{CENTRAL}-1")
    with pytest.raises(PeerFailed, match="auth"):
        await taken.call(node.STATUS, Nothing(), timeout_s=5)
    assert (await fleet.peer(first, f"{CENTRAL}-1")) is not taken

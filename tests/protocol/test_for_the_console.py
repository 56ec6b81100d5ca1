"""What central does for consoles: roles, addresses, sources, clocks, polls, the journal."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession
from yarl import URL

from central.settings import CentralSettings
from cluster import chain
from cluster.exchange import Exchange, Nothing
from cluster.peer import Peer, PeerFailed, open_session
from cluster.protocol import central
from cluster.protocol.views import Delta, JournalLine, Snapshot
from cluster.settings import SettingsWrong
from cluster.trust.member import open_trust
from cluster.trust.tokens import read_viewer_tokens
from tests.console.real import Fleet, real_fleet
from tests.program import TOKEN, until
from tests.protocol.conftest import Api

VIEWER = "a-token-that-may-only-look"


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with real_fleet(tmp_path, viewer_token=VIEWER) as made:
        yield made


@pytest.fixture
async def viewer(fleet: Fleet) -> AsyncIterator[Peer]:
    async with open_session() as session:
        yield Peer(session, fleet.url, VIEWER)


@asynccontextmanager
async def events_of(peer: Peer) -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
    """Central's stream, of which the snapshot comes first."""
    async with peer.stream(
        central.STREAM, central.StreamAsk(), connect_timeout_s=5, idle_s=5
    ) as events:
        yield events


def refused(failure: pytest.ExceptionInfo[PeerFailed]) -> str:
    problem = failure.value.problem
    assert problem is not None
    return f"{problem.code}: {problem.detail}"


@pytest.mark.parametrize("exchange", [one for one in central.EXCHANGES if not one.public])
async def test_a_viewer_may_get_everything_and_change_nothing(
    fleet: Fleet, session: ClientSession, exchange: Exchange[Any, Any]
) -> None:
    """Also where what he asks is wrong, or about nothing: a no without a look at it."""
    api = Api(session, URL(f"{fleet.url}/"))
    path = exchange.path.format(name="n1", id=1)
    if exchange is central.STREAM:
        path += "?since=none"  # it would not end

    answer = await api.ask(exchange.method, path, authorization=f"Bearer {VIEWER}")

    if exchange.method == "GET":
        assert answer.status in (200, 404, 422)
    else:
        said = answer.problem("forbidden").detail
        assert said == "it may only look; ask with an operator's token"


async def test_a_status_says_who_one_is(fleet: Fleet, viewer: Peer) -> None:
    assert (await viewer.call(central.STATUS, Nothing(), timeout_s=5)).role == "viewer"
    assert (await fleet.call(central.STATUS, Nothing())).role == "operator"


async def test_without_a_viewers_token_there_are_no_viewers(central: Api) -> None:
    answer = await central.ask("GET", "/v1/status", authorization=f"Bearer {VIEWER}")

    answer.problem("unauthorized")


async def test_a_stream_says_who_one_is(fleet: Fleet, viewer: Peer) -> None:
    async with events_of(viewer) as events:
        snapshot = msgspec.json.decode((await anext(events))[1], type=Snapshot)

    assert (snapshot.role, snapshot.status.role) == ("viewer", "viewer")


async def test_a_stream_tells_of_central_when_nothing_happens(
    fleet: Fleet, viewer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the last change would leave counts behind that are wrong for ever."""
    monkeypatch.setattr("central.stream.STATUS_S", 0.1)
    async with events_of(viewer) as events:
        quiet: list[Delta] = []
        while len(quiet) < 2:
            event, content = await anext(events)
            if event == "delta":
                delta = msgspec.json.decode(content, type=Delta)
                quiet += [] if delta.nodes or delta.runs or delta.journal else [delta]

    assert [delta.status is not None and delta.status.role for delta in quiet] == ["viewer"] * 2


async def test_an_address_is_tested_and_nothing_changes(fleet: Fleet) -> None:
    url = await fleet.node("quiet", 5, hello=False)

    found = await fleet.call(central.TEST, central.Address(url))

    assert (found.name, found.records, found.known_as) == ("quiet", 5, None)
    assert found.rtt_ms > 0
    assert not (await fleet.call(central.NODES, Nothing())).nodes
    await fleet.call(central.HELLO, central.Hello(name="quiet", url=url))
    assert (await fleet.call(central.TEST, central.Address(url))).known_as == "quiet"
    with pytest.raises(PeerFailed) as failure:
        await fleet.call(central.TEST, central.Address("http://127.0.0.1:1"))
    assert refused(failure).startswith("node_unreachable: refused: ")


async def test_what_a_node_refuses_comes_in_its_own_words(fleet: Fleet) -> None:
    """And what came true is in the journal."""
    await fleet.node("n1")

    view = await fleet.call(central.SOURCE, central.SourceSet("n1", running=False, rate=7))
    assert view.source is not None
    assert (view.source.running, view.source.rate) == (False, 7)
    with pytest.raises(PeerFailed) as failure:
        await fleet.call(central.SOURCE, central.SourceSet("nobody", running=True))
    assert refused(failure).startswith("unknown_node: ")
    await fleet.stop("n1")
    asks: tuple[tuple[Exchange[Any, Any], Any], ...] = (
        (central.SOURCE, central.SourceSet("n1", running=True)),
        (central.SYNC_CLOCK, central.Named("n1")),
    )
    for exchange, ask in asks:
        with pytest.raises(PeerFailed) as failure:
            await fleet.call(exchange, ask)
        assert refused(failure).startswith("node_unreachable: ")

    async def is_told() -> bool:
        lines = (await fleet.call(central.JOURNAL, central.JournalAsk(kind="source"))).lines
        return [line.text for line in lines] == ["its source is stopped, as asked"]

    await until(is_told, "the journal tells of it")


async def test_a_clock_is_corrected_on_request(fleet: Fleet) -> None:
    await fleet.node("n1")

    clock = await fleet.call(central.SYNC_CLOCK, central.Named("n1"))

    assert (clock.status, clock.sources[0].state) == ("SYNC", "selected")

    async def is_told() -> bool:
        lines = (await fleet.call(central.JOURNAL, central.JournalAsk(kind="clock-sync"))).lines
        return [line.text for line in lines] == ["its clock was corrected, as asked: SYNC"]

    await until(is_told, "the journal tells of it")


async def test_polls_are_remembered_with_those_that_were_missed(fleet: Fleet) -> None:
    await fleet.node("n1", 4)
    await fleet.call(central.PULL, central.PullAsk("n1"))
    await fleet.until(lambda view: view.records.central == 4, "n1")
    await fleet.call(central.POLL, central.Named("n1"))
    await fleet.stop("n1")
    await fleet.until(lambda view: view.failures > 1, "n1")

    points = (await fleet.call(central.NODE_POLLS, central.HistoryAsk("n1"))).points

    answered = [point for point in points if point.at_node is not None]
    assert (answered[-1].at_node, answered[-1].at_central) == (4, 4)
    assert answered[-1].rtt_ms is not None
    assert [point.rtt_ms for point in points[-2:]] == [None, None]
    since = answered[-1].ts + 1
    later = (await fleet.call(central.NODE_POLLS, central.HistoryAsk("n1", since))).points
    assert [point.at_node for point in later[:2]] == [None, None]


@pytest.mark.parametrize(
    ("ask", "texts"),
    [
        ({"kind": "node-added"}, ["n1", "n2"]),
        ({"kind": "node-added", "node": "n2"}, ["n2"]),
        ({"text": "N1", "kind": "node-added"}, ["n1"]),
        ({"text": "%"}, []),
        ({"text": "' OR 1 --"}, []),
        ({"kind": "no-such"}, []),
    ],
)
async def test_the_journal_is_picked_from(
    fleet: Fleet, ask: dict[str, str], texts: list[str]
) -> None:
    await fleet.node("n1")
    await fleet.node("n2")

    lines = (await fleet.call(central.JOURNAL, central.JournalAsk(**ask))).lines  # type: ignore[arg-type]

    assert [line.node for line in lines] == texts


async def test_the_journal_is_read_backwards_page_by_page(fleet: Fleet) -> None:
    for name in ("n1", "n2", "n3"):
        await fleet.node(name)
    whole = (await fleet.call(central.JOURNAL, central.JournalAsk())).lines

    pages: list[JournalLine] = []
    before = whole[-1].seq + 1
    while page := (
        await fleet.call(central.JOURNAL, central.JournalAsk(before=before, limit=2))
    ).lines:
        pages[:0] = page
        before = page[0].seq

    assert [line.seq for line in pages] == [line.seq for line in whole]


@pytest.mark.fault(74)
async def test_the_head_of_the_journal_is_told(fleet: Fleet, tmp_path: Path) -> None:
    """It is the number and the hash of the last line in the file, for somebody to keep."""
    await fleet.node("n1")

    async def is_stored() -> bool:
        status = await fleet.call(central.STATUS, Nothing())
        with closing(sqlite3.connect(tmp_path / "central" / "central.db")) as sql:
            return status.journal_head == str(chain.head(sql)) and chain.head(sql).seq > 1

    await until(is_stored, "the head is that of the file")


def test_a_viewers_token_is_another_one() -> None:
    settings, environ = CentralSettings(data="d"), {"TIDEHOLD_TOKEN": TOKEN}

    for viewer, says in ((TOKEN, "stands for operator and viewer"), ("short", "16 or more")):
        with pytest.raises(SettingsWrong, match=says):
            open_trust("central", settings, environ | {"TIDEHOLD_VIEWER_TOKEN": viewer})


def test_a_viewers_token_may_be_in_a_file_of_ones_own(tmp_path: Path) -> None:
    """The file goes before the environment, and nobody else may read it."""
    file = tmp_path / "viewers"
    file.write_text(f"{VIEWER}\n")
    file.chmod(0o600)
    environ = {"TIDEHOLD_VIEWER_TOKEN": "another-token-of-viewers"}

    tokens = read_viewer_tokens(str(file), environ)
    assert tokens is not None
    assert tokens.for_node() == VIEWER
    file.chmod(0o644)
    with pytest.raises(SettingsWrong, match="others can read it"):
        read_viewer_tokens(str(file), environ)

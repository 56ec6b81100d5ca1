"""Plain lines for scripts and screen readers, from the same central as the screen."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest
from msgspec.structs import replace

from cluster.peer import Peer, PeerFailed
from cluster.protocol.central import NodeFound
from console.plain.keyboard import Unwanted
from tests.console.conftest import until
from tests.console.fake_central import FakeCentral, now_us, view
from tests.console.plain.conftest import Spoken
from tests.program import ROOT

HOSTILE = ("[bold]x[/]", "\x1b[2J\x1b]0;x\x07", "a\nb\rc", "\u202eevil", "測試" * 300, "👩‍🚀")


def put_fleet(fake: FakeCentral) -> None:
    fake.put(
        view("ams1", proven=now_us()),
        view("lis1", data="behind", to_pull=18_422, at_node=601_324, at_central=582_902),
        view("rig1", "down", failures=7, next_try=now_us() + 60_000_000),
    )


async def test_status_is_a_line_a_node_the_worst_first(fake: FakeCentral, peer: Peer) -> None:
    put_fleet(fake)
    status = Spoken("status", peer)

    assert await status.done == 1
    assert [line.split()[0] for line in status.lines[:4]] == ["NODE", "rig1", "lis1", "ams1"]
    assert "○ DOWN" in status.lines[1]
    assert "retry 0:5" in status.lines[1] or "retry 1:00" in status.lines[1]
    assert "● UP" in status.lines[2]
    assert "behind" in status.lines[2]
    assert "18,422" in status.lines[2]
    assert "in sync, proven" in status.lines[3]
    assert status.lines[4:] == [
        "3 nodes: 1 down, 2 up, 1 in sync",
        "missing: 18,422 at central, 0 at nodes, more is not known",
    ]
    assert status.width <= 80


async def test_a_fleet_that_is_well_exits_with_zero(fake: FakeCentral, peer: Peer) -> None:
    fake.put(view("ams1"))

    assert await Spoken("status", peer).done == 0


async def test_json_is_centrals_own_words(fake: FakeCentral, peer: Peer) -> None:
    put_fleet(fake)
    status = Spoken("status", peer, "--json")

    await status.done

    told = json.loads(status.text)
    assert told["status"]["epoch"] == "e1"
    assert [node["name"] for node in told["nodes"]] == ["ams1", "lis1", "rig1"]


async def test_a_watch_tells_each_change_and_outlives_central(
    fake: FakeCentral, peer: Peer
) -> None:
    put_fleet(fake)
    watch = Spoken("status", peer, "--watch")
    task = asyncio.create_task(watch.done)

    await until(lambda: len(watch.lines) == 3)
    fake.put(view("ams1", "suspect", failures=1))
    await until(lambda: any("SUSPECT" in line for line in watch.lines))
    fake.send(gone=["lis1"])
    await until(lambda: "lis1 is no longer polled" in watch.text)
    await fake.stop()
    await until(lambda: "central is away" in watch.text)
    await fake.start()
    await until(lambda: "central is back" in watch.text)
    assert not task.done()

    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_pull_shows_the_numbers_and_is_followed_to_its_end(
    fake: FakeCentral, peer: Peer
) -> None:
    put_fleet(fake)
    pull = Spoken("pull", peer, "lis1")
    task = asyncio.create_task(pull.done)

    await until(lambda: ("pull", "lis1") in fake.asked)
    assert "18,422 records of 1 node" in pull.text
    (run,) = fake.runs.values()
    for received in (0, 430, 990):
        fake.put_run(replace(run, received=received))
        await until(lambda done=received // 100 * 10: f"lis1: {done}%" in pull.text)  # type: ignore[misc]
    fake.put_run(
        replace(run, state="succeeded", received=1_000, inserted=999, duplicate=1, ended=now_us())
    )

    assert await task == 0
    assert "run 881: pull lis1: ok, 999 new in " in pull.lines[-1]
    assert "1,000 received, 999 new, 1 duplicate" in pull.lines[-1]


async def test_a_terminal_has_a_bar_in_place_until_the_run_ends(
    fake: FakeCentral, peer: Peer
) -> None:
    put_fleet(fake)
    pull = Spoken("pull", peer, "lis1", terminal=True)
    task = asyncio.create_task(pull.done)
    await until(lambda: fake.runs)
    (run,) = fake.runs.values()

    fake.put_run(replace(run, received=500, rate=250.0, left_s=2.0))
    await until(lambda: "━━━━━━━━━━" in pull.text)
    assert "50% 500/1.0k 250/s 0:02 left" in pull.text
    fake.put_run(replace(run, received=750, rate=250.0, left_s=1.0))
    await until(lambda: "75% 750/1.0k" in pull.text)
    assert "\x1b[1F\x1b[J" in pull.text  # drawn in the place of the other
    fake.put_run(replace(run, state="succeeded", received=1_000, ended=now_us()))

    assert await task == 0
    assert "━" not in pull.text.rpartition("\x1b[J")[2]


async def test_all_of_them_need_a_yes_where_nobody_can_be_asked(
    fake: FakeCentral, peer: Peer
) -> None:
    put_fleet(fake)

    with pytest.raises(Unwanted, match="give --yes"):
        await Spoken("push", peer, "--all").done
    assert not fake.asked
    push = Spoken("push", peer, "--all", "--yes", "--no-wait")
    assert await push.done == 0
    assert fake.asked == [("push_all", "missing")]
    assert "runs asked for: 881, 882, 883" in push.text


async def test_a_run_that_waits_says_why_and_can_be_left(fake: FakeCentral, peer: Peer) -> None:
    put_fleet(fake)
    pull = Spoken("pull", peer, "rig1", "--timeout", "0.6")

    assert await pull.done == 1
    assert "run 881: pull rig1: waits: node is down" in pull.text
    assert "it goes on at central" in pull.text


async def test_what_went_wrong_is_not_ok(fake: FakeCentral, peer: Peer) -> None:
    put_fleet(fake)
    pull = Spoken("pull", peer, "lis1")
    task = asyncio.create_task(pull.done)
    await until(lambda: fake.runs)
    (run,) = fake.runs.values()

    fake.put_run(replace(run, state="succeeded", received=12, conflict=12, ended=now_us()))

    assert await task == 1
    assert "ok, but 12 conflict" in pull.text


@pytest.mark.parametrize(
    ("argv", "why"),
    [(["nobody"], "no node nobody"), ([], "which nodes"), (["lis1", "--all"], "which nodes")],
)
async def test_nodes_that_are_none(
    fake: FakeCentral, peer: Peer, argv: list[str], why: str
) -> None:
    put_fleet(fake)

    with pytest.raises(Unwanted, match=why):
        await Spoken("pull", peer, *argv).done


async def test_a_run_is_cancelled(fake: FakeCentral, peer: Peer) -> None:
    put_fleet(fake)
    run = fake._run("pull", "lis1")
    cancel = Spoken("cancel", peer, str(run.id))

    assert await cancel.done == 0
    assert "run 881: pull lis1 cancelled" in cancel.text


async def test_nodes_are_listed_added_and_removed(fake: FakeCentral, peer: Peer) -> None:
    url = "http://10.0.7.2:8101"
    fake.found[url] = NodeFound(name="vno2", rtt_ms=14.0, version="1", epoch="e", records=5)

    with pytest.raises(Unwanted, match="that is vno2, not vno3"):
        await Spoken("nodes", peer, "add", "vno3", url).done
    with pytest.raises(PeerFailed, match="nobody listens"):
        await Spoken("nodes", peer, "add", "vno3", "http://10.0.7.3:8101").done
    add = Spoken("nodes", peer, "add", "vno2", url)
    await add.done
    assert "vno2 answers there in 14 ms" in add.lines[0]
    assert fake.nodes["vno2"].url == url
    await Spoken("nodes", peer, "add", "vno3", "http://10.0.7.3:8101", "--untested").done
    shown = Spoken("nodes", peer)
    await shown.done
    assert shown.lines[0] == f"vno2 up   {url}"

    with pytest.raises(Unwanted, match="give --yes"):
        await Spoken("nodes", peer, "remove", "vno2").done
    remove = Spoken("nodes", peer, "remove", "vno2", "--yes")
    await remove.done
    assert "1,000 records stay at central" in remove.text


async def test_the_journal_is_picked_and_followed(fake: FakeCentral, peer: Peer) -> None:
    fake.say("is up", node="lis1")
    fake.say("no room", level="error")
    fake.say("missed a poll", level="warning", node="lis1")
    journal = Spoken("journal", peer, "--follow", "--level", "warning")
    task = asyncio.create_task(journal.done)

    await until(lambda: len(journal.lines) == 2)
    assert [line[20:] for line in journal.lines] == [
        "error   test - no room",
        "warning test lis1 missed a poll",
    ]
    await until(lambda: fake.streams == 1)
    fake.say("is up again", node="lis1")
    fake.say("gone", level="error")
    await until(lambda: journal.lines[-1].endswith("error   test - gone"))
    assert len(journal.lines) == 3

    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.fault(57)
@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_one_line_of_text(fake: FakeCentral, peer: Peer, text: str) -> None:
    fake.put(view("n", "down", reason=text, detail=text, url=text, version=text))
    fake.say(text, node=text)

    for word in ("status", "nodes", "journal"):
        spoken = Spoken(word, peer)
        await spoken.done
        assert "\x1b" not in spoken.text
        assert "\u202e" not in spoken.text
        assert len(spoken.lines) == {"status": 4, "nodes": 1, "journal": 1}[word]


def test_plain_words_need_no_screen() -> None:
    """Nothing of Textual is loaded: faster, and it would read the environment too early."""
    code = "import console.plain.program, sys; print('textual' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def console(fake_url: str, *argv: str, token: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console", *argv, "--central", fake_url],
        cwd=ROOT,
        env={**os.environ, "TIDEHOLD_TOKEN": token, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def test_the_program_speaks_ascii_where_nothing_else_is_known(fake: FakeCentral) -> None:
    """And leaves with 3 when it is not let in or nobody is there, with one line."""
    put_fleet(fake)

    good = await asyncio.to_thread(console, fake.url, "status", token=fake.token)
    refused = await asyncio.to_thread(console, fake.url, "status", token="x" * 20)
    nobody = await asyncio.to_thread(console, "http://127.0.0.1:1", "nodes", token=fake.token)

    assert good.returncode == 1
    assert "x DOWN" in good.stdout
    assert good.stdout.isascii()
    assert (refused.returncode, nobody.returncode) == (3, 3)
    assert len(refused.stderr.splitlines()) == len(nobody.stderr.splitlines()) == 1

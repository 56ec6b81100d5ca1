"""Plain lines when something goes wrong: central away, nobody to ask, Ctrl-C, hostile text."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
from msgspec.structs import replace

from cluster.peer import Peer
from cluster.protocol.views import NodeView, Run, Snapshot
from console.plain import follower, status
from tests.console.conftest import until
from tests.console.fake_central import FakeCentral, view
from tests.console.plain.conftest import Spoken
from tests.program import ROOT


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Somebody at a terminal; what is written here is typed."""
    typed, seen = os.openpty()
    with os.fdopen(seen) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield typed
    os.close(typed)


async def end(task: "asyncio.Task[int]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_node_that_is_just_pulled_is_well(fake: FakeCentral, peer: Peer) -> None:
    """Else an automatic pull would make cron cry wolf."""
    fake.put(view("ams1"))
    fake._run("pull", "ams1")

    spoken = Spoken("status", peer)

    assert await spoken.done == 0
    assert "PULL" in spoken.text


@pytest.mark.parametrize(
    "ill",
    [
        view("a", "suspect", failures=1),
        view("a", data="behind"),
        view("a", data="diverged"),
        replace(view("a"), clock_word="BAD"),
    ],
)
async def test_a_node_that_is_not_well(fake: FakeCentral, peer: Peer, ill: NodeView) -> None:
    fake.put(ill)

    assert await Spoken("status", peer).done == 1


async def test_a_name_that_is_given_twice_is_one_run(fake: FakeCentral, peer: Peer) -> None:
    fake.put(view("ams1"))

    await Spoken("pull", peer, "ams1", "ams1", "--no-wait").done

    assert fake.asked == [("pull", "ams1")]


async def test_the_last_counts_are_told_when_it_is_their_time(
    fake: FakeCentral, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many changes some are left out, but never the last one."""
    monkeypatch.setattr(status, "SAY_COUNTS_S", 0.6)
    fake.put(view("ams1"))
    watch = Spoken("status", peer, "--watch")
    task = asyncio.create_task(watch.done)
    await until(lambda: len(watch.lines) == 1)

    fake.put(view("ams1", at_node=1_001, at_central=1_001))

    await until(lambda: "1,001" in watch.text)
    assert len(watch.lines) == 2
    await end(task)


async def test_a_watch_in_json_is_nothing_but_json(
    fake: FakeCentral, peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.put(view("ams1"))
    watch = Spoken("status", peer, "--watch", "--json")
    task = asyncio.create_task(watch.done)
    await until(lambda: watch.lines)
    said = ""

    await fake.stop()
    while "central is away" not in said:
        said += capsys.readouterr().err
        await asyncio.sleep(0.01)

    assert [json.loads(line)["name"] for line in watch.lines] == ["ams1"]
    await end(task)


async def test_a_run_that_ended_while_central_was_away_is_found(
    fake: FakeCentral, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Central shows only the latest runs of those that ended."""
    fake.put(view("ams1"))
    pull = Spoken("pull", peer, "ams1")
    task = asyncio.create_task(pull.done)
    await until(lambda: "run 881: pull ams1: 0%" in pull.text)

    await fake.stop()
    await until(lambda: "central is away" in pull.text)
    fake.runs[881] = replace(fake.runs[881], state="succeeded", inserted=7)
    whole = fake.snapshot

    def without_runs(since: int) -> Snapshot:
        return replace(whole(since), runs=[])

    monkeypatch.setattr(fake, "snapshot", without_runs)
    await fake.start()

    await until(task.done)
    assert task.result() == 0
    assert "run 881: pull ams1: ok, 7 new" in pull.text


async def test_an_end_that_the_stream_tells_is_told_at_once(
    fake: FakeCentral, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when central is asked the next time."""
    monkeypatch.setattr(follower, "CHECK_S", 60.0)
    fake.put(view("ams1"))
    pull = Spoken("pull", peer, "ams1")
    task = asyncio.create_task(pull.done)
    await until(lambda: "run 881: pull ams1: 0%" in pull.text)

    fake.put_run(replace(fake.runs[881], state="succeeded"))

    await until(task.done)
    assert pull.lines[-1].startswith("run 881: pull ams1: ok")


async def test_an_end_that_the_stream_left_out_is_found(
    fake: FakeCentral, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a great many runs end at once, central tells of the latest only."""
    monkeypatch.setattr(follower, "CHECK_S", 0.3)
    fake.put(view("ams1"))
    pull = Spoken("pull", peer, "ams1")
    task = asyncio.create_task(pull.done)
    await until(lambda: "run 881: pull ams1: 0%" in pull.text)

    fake.runs[881] = replace(fake.runs[881], state="succeeded")

    await until(task.done)
    assert task.result() == 0
    assert "run 881: pull ams1: ok, nothing new" in pull.text


async def test_a_run_that_central_lost_is_not_waited_for(fake: FakeCentral, peer: Peer) -> None:
    """It came back with an older database."""
    fake.put(view("ams1"))
    pull = Spoken("pull", peer, "ams1")
    task = asyncio.create_task(pull.done)
    await until(lambda: "run 881: pull ams1: 0%" in pull.text)

    await fake.stop()
    fake.epoch, fake.runs = "e2", {}
    await fake.start()

    await until(task.done)
    assert task.result() == 1
    assert "run 881 is not known at central" in pull.text


async def test_an_end_that_comes_while_central_is_asked_is_told_once(
    fake: FakeCentral, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no progress."""
    fake.put(view("ams1"))

    async def ask(following: follower.Follower) -> list[Run]:
        fake.put_run(replace(fake.runs[881], state="succeeded"))
        store = following._listener.store
        await until(lambda: 881 in store.runs and store.runs[881].ended_already)
        return []

    monkeypatch.setattr(follower.Follower, "_ask", ask)
    pull = Spoken("pull", peer, "ams1")

    assert await pull.done == 0
    assert "run 881: pull ams1: succeeded" not in pull.lines
    assert pull.lines[-1].startswith("run 881: pull ams1: ok")


async def test_bars_of_what_moves_come_first(
    fake: FakeCentral, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a small terminal they would be below those that wait for a node, and not be seen."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "4")
    fake.put(*(view(f"off{number}", "down") for number in range(5)), view("ams1"))
    pull = Spoken("pull", peer, "--all", "--yes", terminal=True)
    task = asyncio.create_task(pull.done)

    await until(lambda: "and 4 more" in pull.text)
    assert "pull ams1" in pull.text
    await end(task)


async def test_many_runs_end_with_a_sentence_about_all(fake: FakeCentral, peer: Peer) -> None:
    fake.put(view("ams1"), view("lis1"))
    pull = Spoken("pull", peer, "ams1", "lis1")
    task = asyncio.create_task(pull.done)
    await until(lambda: len(fake.runs) == 2)

    fake.put_run(replace(fake.runs[881], state="succeeded", inserted=7))
    fake.put_run(replace(fake.runs[882], state="failed", error="no\x1b room", conflict=2))

    assert await task == 1
    assert "failed: no␛ room; 0 received, 0 new, 0 duplicate, 2 in conflict" in pull.lines[-2]
    assert pull.lines[-1] == "1 of 2 runs ok, 7 new"


async def test_the_journal_goes_on_with_that_of_another_database(
    fake: FakeCentral, peer: Peer
) -> None:
    for text in ("one", "two"):
        fake.say(text)
    journal = Spoken("journal", peer, "--follow")
    task = asyncio.create_task(journal.done)
    await until(lambda: fake.streams == 1)

    await fake.stop()
    fake.epoch, fake.journal = "e2", []
    fake.say("anew")
    await fake.start()

    await until(lambda: "anew" in journal.text)
    await end(task)


async def test_what_was_written_while_central_was_away_is_not_left_out(
    fake: FakeCentral, peer: Peer
) -> None:
    """A new stream begins with the last lines only."""
    journal = Spoken("journal", peer, "--follow", "--level", "warning")
    task = asyncio.create_task(journal.done)
    await until(lambda: fake.streams == 1)
    fake.say("before", level="error")
    await until(lambda: "before" in journal.text)

    await fake.stop()
    for number in range(300):
        fake.say(f"away {number}", level="warning" if number % 3 else "info")
    await fake.start()
    fake.say("after", level="error")

    await until(lambda: "after" in journal.text)
    told = [line.split(" - ")[1] for line in journal.lines if " - " in line]
    away = [f"away {number}" for number in range(300) if number % 3]
    assert told == ["before", *away, "after"]
    await end(task)


async def test_all_nodes_are_pulled_when_the_phrase_is_typed(
    fake: FakeCentral, peer: Peer, keyboard: int
) -> None:
    fake.put(view("ams1"), view("lis1"))
    pull = Spoken("pull", peer, "--all", "--no-wait", terminal=True)
    task = asyncio.create_task(pull.done)
    await until(lambda: "Type PULL 2 to go on:" in pull.text)
    assert not fake.asked

    os.write(keyboard, b"pull 2\n")

    assert await task == 0
    assert fake.asked == [("pull_all", "incremental")]


async def test_another_phrase_starts_nothing(fake: FakeCentral, peer: Peer, keyboard: int) -> None:
    fake.put(view("ams1"), view("lis1"))
    os.write(keyboard, b"yes\n")
    pull = Spoken("pull", peer, "--all", terminal=True)

    assert await pull.done == 1
    assert pull.lines[-1] == "nothing was started"
    assert not fake.asked


async def test_a_node_is_removed_when_its_name_is_typed(
    fake: FakeCentral, peer: Peer, keyboard: int
) -> None:
    fake.put(view("ams1"))
    os.write(keyboard, b"ams\n")

    assert await Spoken("nodes", peer, "remove", "ams1", terminal=True).done == 1
    os.write(keyboard, b"ams1\n")
    assert await Spoken("nodes", peer, "remove", "ams1", terminal=True).done == 0
    assert fake.asked == [("remove", "ams1")]


async def test_a_dumb_terminal_has_no_lines_drawn_anew(fake: FakeCentral, peer: Peer) -> None:
    fake.put(view("ams1"))
    pull = Spoken("pull", peer, "ams1", terminal=True, environ={"TERM": "dumb"})
    task = asyncio.create_task(pull.done)

    await until(lambda: "run 881: pull ams1: 0%" in pull.text)
    assert "\x1b" not in pull.text
    await end(task)


async def ctrl_c(fake: FakeCentral, *argv: str, at: bytes) -> tuple[int | None, str]:
    """A real console on a terminal, interrupted when it has said this; its code and words."""
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console", *argv, "--central", fake.url),
        cwd=ROOT,
        env={**os.environ, "TIDEHOLD_TOKEN": fake.token},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = bytearray()
    loop = asyncio.get_running_loop()

    def hear() -> None:
        try:
            said.extend(os.read(ours, 4096))
        except OSError:  # nobody writes there any more
            loop.remove_reader(ours)

    loop.add_reader(ours, hear)
    try:
        await until(lambda: at in said)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        loop.remove_reader(ours)
        os.close(ours)
    return code, said.decode()


async def test_ctrl_c_ends_it_and_says_what_goes_on(fake: FakeCentral) -> None:
    """At the question, where nothing has begun; and at a bar."""
    fake.put(view("ams1"))

    asked = await ctrl_c(fake, "pull", "--all", at=b"to go on:")
    assert not fake.runs
    followed = await ctrl_c(fake, "pull", "ams1", at="─".encode())

    assert (asked[0], followed[0]) == (130, 130)
    assert "goes on" not in asked[1].partition("to go on:")[2]
    assert "python -m console cancel 881" in followed[1]
    assert "Traceback" not in asked[1] + followed[1]


@pytest.mark.fault(57, 60)
async def test_json_is_ascii_and_cannot_steer_a_terminal(fake: FakeCentral) -> None:
    text = "測試\u202e\x9b2J\x7f👩"
    fake.put(view("ams1", detail=text))

    spoken = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "console", "status", "--json", "--central", fake.url],
        cwd=ROOT,
        env={**os.environ, "TIDEHOLD_TOKEN": fake.token, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=30,
        check=False,
    )

    assert (spoken.returncode, spoken.stderr) == (0, b"")
    assert all(0x20 <= byte < 0x7F for byte in spoken.stdout.rstrip(b"\n"))
    assert json.loads(spoken.stdout)["nodes"][0]["detail"] == text


def shell(fake: FakeCentral, line: str) -> "subprocess.CompletedProcess[str]":
    """What a real console leaves behind that a shell starts so."""
    return subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m console {line}"],
        cwd=ROOT,
        env={
            **os.environ,
            "TIDEHOLD_TOKEN": fake.token,
            "TIDEHOLD_CONSOLE_CENTRAL": fake.url,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("status >&-", 0, ""),
        ("pull --all <&-", 2, "nobody can be asked here"),
        ("<&-", 2, "a terminal is needed"),
        ("status --json >/dev/full", 1, "nothing more can be written: No space left on device"),
    ],
)
async def test_streams_that_are_closed_or_full(
    fake: FakeCentral, line: str, code: int, said: str
) -> None:
    """As cron and the like leave them: one clear line, or none."""
    fake.put(view("ams1"))

    done = await asyncio.to_thread(shell, fake, line)

    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == bool(said)

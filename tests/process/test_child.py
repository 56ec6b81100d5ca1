"""Real child processes: restarted, given up, stopped for certain, and never left behind.

Each child is a few lines of Python. The parents that are killed here are processes of their own,
so that what the kernel does with a pipe after kill -9 is seen and not assumed.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from cluster.lifeline import VARIABLE, Lifeline
from cluster.local.child import Child, ChildGone, RestartPolicy

QUICK = RestartPolicy(base_s=0.001, cap_s=0.002)

SLEEP = "import time; time.sleep(60)"
HELD = "from cluster.lifeline import hold_lifeline; hold_lifeline(escalate_s=0.3); "
DEAF = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('heard', flush=True)); "
READY = "print('ready', flush=True); "
BUSY = """
while True:
    pass
"""

# Keeps the programs of argv[2:] as children and writes their process ids to the file argv[1].
PARENT = """
import asyncio, json, sys
from pathlib import Path
from cluster.local.child import Child
import {loop}

async def main():
    folder = Path(sys.argv[1]).parent
    children = [
        Child(f"c{{n}}", [sys.executable, "-c", code], log=folder / f"c{{n}}.log")
        for n, code in enumerate(sys.argv[2:])
    ]
    for child in children:
        await child.start()
    partial = Path(sys.argv[1] + ".partial")
    partial.write_text(json.dumps([child.pid for child in children]))
    partial.rename(sys.argv[1])
    await asyncio.gather(*(child.run() for child in children))

{loop}.run(main())
"""


async def until(condition: Callable[[], object], within_s: float = 15.0) -> float:
    """Wait for a condition and return the seconds that it took; fail after `within_s`."""
    begun = time.monotonic()
    while not await asyncio.to_thread(condition):
        waited_s = time.monotonic() - begun
        assert waited_s < within_s, f"not so after {within_s} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


def said(log: Path) -> str:
    """What a child has written so far."""
    return log.read_text() if log.exists() else ""


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended, reaped or not."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


@asynccontextmanager
async def supervised(child: Child) -> AsyncIterator[asyncio.Task[None]]:
    """Run a child for the length of a test."""
    task = asyncio.create_task(child.run())
    try:
        yield task
    finally:
        await child.stop(grace_s=0.2)
        await task


def python(code: str, log: Path, policy: RestartPolicy = QUICK) -> Child:
    return Child("child", [sys.executable, "-c", code], log=log, policy=policy)


async def test_a_child_that_is_killed_is_started_again(log: Path) -> None:
    child = python(SLEEP, log)

    async with supervised(child):
        await until(lambda: child.state == "running")
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.restarts == 1 and child.state == "running")

        assert child.pid not in (first, None)
        assert child.last_exit == -signal.SIGKILL

    assert child.state == "stopped"
    assert child.pid is None


async def test_a_child_that_ends_well_is_started_again_too(log: Path) -> None:
    """A node that someone stopped by `kill` comes back."""
    child = python("pass", log, RestartPolicy(base_s=0.001, cap_s=0.002, max_deaths=50))

    async with supervised(child):
        await until(lambda: child.restarts >= 2)

        assert child.last_exit == 0


async def test_settings_in_the_shell_do_not_reach_a_child(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own are in its flags; another cluster's token file would keep it from coming up."""
    monkeypatch.setenv("TIDEHOLD_NODE_TOKEN_FILE", "/elsewhere")
    monkeypatch.setenv("OTHER", "stays")
    code = "import json, os; print(json.dumps(dict(os.environ)), flush=True); " + SLEEP
    child = Child("child", [sys.executable, "-c", code], log=log, env={"TIDEHOLD_TOKEN": "ours"})

    async with supervised(child):
        await until(lambda: log.exists() and log.read_text().endswith("\n"))
        seen = json.loads(await asyncio.to_thread(log.read_text))

    assert {key for key in seen if key.startswith("TIDEHOLD")} == {"TIDEHOLD_TOKEN", VARIABLE}
    assert (seen["TIDEHOLD_TOKEN"], seen["OTHER"]) == ("ours", "stays")


async def test_a_crash_loop_is_given_up_with_the_last_words_of_the_child(log: Path) -> None:
    states: list[str] = []
    child = Child(
        "child",
        [sys.executable, "-c", "print('started', flush=True); raise SystemExit('no such disk\\n')"],
        log=log,
        policy=QUICK,
        on_change=lambda each: states.append(each.state),
    )

    await child.run()

    assert states == ["starting", "running", "restarting"] * 4 + ["starting", "running", "failed"]
    assert (child.restarts, child.last_exit, child.last_line) == (4, 1, "no such disk")
    assert (await asyncio.to_thread(said, log)).count("started") == 5


@pytest.mark.parametrize("code", [2, 78])
async def test_an_exit_that_restarting_cannot_help_is_final(log: Path, code: int) -> None:
    child = python(f"raise SystemExit({code})", log)

    await child.run()

    assert (child.state, child.restarts, child.last_exit) == ("failed", 0, code)


async def test_deaths_that_are_far_apart_are_no_crash_loop(log: Path) -> None:
    child = python("pass", log, RestartPolicy(0.001, 0.002, max_deaths=2, within_s=0.0))

    async with supervised(child):
        await until(lambda: child.restarts >= 3)


async def test_a_log_that_was_deleted_does_not_stop_the_supervision(log: Path) -> None:
    child = python(f"import os; os.remove({str(log)!r}); raise SystemExit(2)", log)

    await child.run()

    assert (child.state, child.last_exit, child.last_line) == ("failed", 2, "")


async def test_stopping_lets_the_child_end_by_itself(log: Path) -> None:
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit('bye')); "
    child = python(code + READY + SLEEP, log)

    async with supervised(child):
        await until(lambda: "ready\n" in said(log))
        await child.stop()

        assert (child.state, child.last_exit, child.last_line) == ("stopped", 1, "bye")


async def test_a_child_that_ignores_sigterm_is_killed(log: Path) -> None:
    child = python(DEAF + READY + BUSY, log)

    async with supervised(child) as task:
        await until(lambda: "ready\n" in said(log))
        await child.stop(grace_s=0.2)
        await task

    assert (child.state, child.last_exit, child.last_line) == (
        "stopped",
        -signal.SIGKILL,
        "heard",
    )


async def test_stopping_interrupts_the_wait_before_a_restart(log: Path) -> None:
    child = python("pass", log, RestartPolicy(base_s=3600.0, cap_s=3600.0))

    async with supervised(child) as task:
        await until(lambda: child.state == "restarting")
        await child.stop()
        async with asyncio.timeout(5.0):
            await task

    assert child.state == "stopped"


async def test_cancelling_the_supervision_stops_the_child(log: Path) -> None:
    child = python(SLEEP, log)
    task = asyncio.create_task(child.run())
    await until(lambda: child.state == "running")
    assert child.pid is not None
    process = psutil.Process(child.pid)

    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert gone(process)
    assert child.state == "stopped"


async def test_a_stopped_child_stays_stopped(log: Path) -> None:
    child = python(SLEEP, log)
    await child.stop()

    await child.start()
    await child.run()

    assert (child.state, child.pid) == ("stopped", None)


async def test_deaths_by_our_own_hand_are_no_crash_loop(log: Path) -> None:
    """Each is followed by a new life at once, however long the rest after another death is."""
    child = python(SLEEP, log, RestartPolicy(base_s=3600.0, cap_s=3600.0, max_deaths=2))

    async with supervised(child):
        await until(lambda: child.state == "running")
        pids = [child.pid]
        for _ in range(4):
            await child.restart(0.0)
            pids.append(child.pid)

        assert len({*pids, None}) == 6
        assert (child.state, child.restarts, child.last_exit) == ("running", 4, -signal.SIGKILL)


async def test_a_death_by_another_hand_still_counts(log: Path) -> None:
    child = python("raise SystemExit(1)", log, RestartPolicy(3600.0, 3600.0, max_deaths=2))

    async with supervised(child) as task:
        await until(lambda: child.state == "restarting")
        await child.restart()  # it need not rest any more
        async with asyncio.timeout(5.0):
            await task

    assert (child.state, child.restarts, child.last_exit) == ("failed", 1, 1)


async def test_what_is_done_between_two_lives_meets_no_process(log: Path) -> None:
    child = python(SLEEP, log)
    met: list[bool] = []

    async with supervised(child):
        await until(lambda: child.state == "running")
        assert child.pid is not None
        first = psutil.Process(child.pid)
        await child.restart(before=lambda: met.append(gone(first)))
        await child.restart()

    assert met == [True]


async def test_a_child_that_is_restarted_with_other_flags_keeps_them(log: Path) -> None:
    child = python(SLEEP, log)

    async with supervised(child):
        await until(lambda: child.state == "running")
        await child.restart(argv=[sys.executable, "-c", "print('other', flush=True); " + SLEEP])
        await until(lambda: said(log).count("other") == 1)
        await child.restart(0.0)
        await until(lambda: said(log).count("other") == 2)


async def test_two_restarts_at_the_same_moment_take_turns(log: Path) -> None:
    child = python(SLEEP, log)

    async with supervised(child):
        await until(lambda: child.state == "running")
        await asyncio.gather(child.restart(0.0), child.restart(0.0))

        assert (child.state, child.restarts) == ("running", 2)


async def test_a_frozen_child_ends_in_order(log: Path) -> None:
    """It would hear SIGTERM only after SIGCONT, and be killed for its silence."""
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit('bye')); "
    child = python(code + READY + SLEEP, log)

    async with supervised(child):
        await until(lambda: "ready\n" in said(log))
        child.freeze()
        assert child.frozen
        await child.stop()

    assert (child.last_exit, child.last_line, child.frozen) == (1, "bye", False)


async def test_a_thawed_child_goes_on(log: Path) -> None:
    child = python(READY + SLEEP, log)

    async with supervised(child):
        await until(lambda: "ready\n" in said(log))
        assert child.pid is not None
        process = psutil.Process(child.pid)
        child.freeze()
        await until(lambda: process.status() == psutil.STATUS_STOPPED)
        child.thaw()
        await until(lambda: process.status() != psutil.STATUS_STOPPED)

        assert (child.frozen, child.restarts) == (False, 0)


async def test_stopping_does_not_wait_for_the_grace_of_a_restart(log: Path) -> None:
    child = python(DEAF + READY + BUSY, log)

    async with supervised(child):
        await until(lambda: "ready\n" in said(log))
        restart = asyncio.create_task(child.restart(grace_s=3600.0))
        await until(lambda: "heard" in said(log))
        await child.stop(0.0)

        with pytest.raises(ChildGone):
            await restart
    assert (child.state, child.restarts) == ("stopped", 0)


async def test_who_was_given_up_cannot_be_hurt_any_more(log: Path) -> None:
    child = python("raise SystemExit(2)", log)
    await child.run()

    with pytest.raises(ChildGone):
        await child.restart()
    with pytest.raises(ProcessLookupError):
        child.freeze()


async def test_what_fails_between_two_lives_ends_the_child(log: Path) -> None:
    child = python(SLEEP, log)
    task = asyncio.create_task(child.run())
    await until(lambda: child.state == "running")

    def fail() -> None:
        raise OSError("no such disk")

    with pytest.raises(ChildGone):
        await child.restart(before=fail)
    with pytest.raises(OSError, match="no such disk"):
        await task
    assert (child.state, child.pid) == ("failed", None)


async def test_a_program_that_does_not_exist_fails_at_once(log: Path) -> None:
    child = Child("child", ["/no/such/program"], log=log)

    with pytest.raises(FileNotFoundError):
        await child.run()

    assert child.state == "failed"


async def test_a_child_has_a_session_of_its_own_and_the_added_environment(log: Path) -> None:
    code = (
        "import os; print(os.getsid(0) == os.getpid(), os.environ['COLOUR']); raise SystemExit(2)"
    )
    child = Child("child", [sys.executable, "-c", code], log=log, env={"COLOUR": "teal"})

    await child.run()

    assert child.last_line == "True teal"


@pytest.mark.parametrize(("code", "state"), [(0, "stopped"), (1, "failed")])
async def test_a_foreground_child_shares_the_session_and_is_never_restarted(
    code: int, state: str
) -> None:
    program = f"import os, sys; sys.exit({code} if os.getsid(0) == {os.getsid(0)} else 9)"
    child = Child("console", [sys.executable, "-c", program], foreground=True, policy=QUICK)

    await child.run()

    assert (child.state, child.restarts, child.last_exit) == (state, 0, code)


def test_a_child_without_log_or_foreground_is_refused() -> None:
    with pytest.raises(ValueError, match="log"):
        Child("child", ["true"])


async def test_a_lifeline_is_not_passed_on_to_grandchildren(log: Path) -> None:
    code = (
        f"import os; fd = int(os.environ['{VARIABLE}']); {HELD}"
        f"print('{VARIABLE}' in os.environ, os.get_inheritable(fd)); raise SystemExit(2)"
    )
    child = python(code, log)

    await child.run()

    assert child.last_line == "False False"


def test_a_program_started_by_hand_needs_no_lifeline() -> None:
    env = {name: value for name, value in os.environ.items() if name != VARIABLE}

    subprocess.run([sys.executable, "-c", HELD], env=env, check=True, timeout=30)


class Launched(list[subprocess.Popen[bytes]]):
    """Processes that a test starts; the fixture ends those that are left."""

    def python(self, *argv: str, lifeline: Lifeline | None = None, log: Path) -> None:
        """Start a program, on a lifeline if there is one."""
        with log.open("ab") as output:
            self.append(
                subprocess.Popen(
                    [sys.executable, "-c", *argv],
                    env=os.environ | (lifeline.env if lifeline else {}),
                    pass_fds=(lifeline.fd,) if lifeline else (),
                    stdout=output,
                    stderr=output,
                )
            )
        if lifeline:
            lifeline.handed_over()


@pytest.fixture
def launched() -> Iterator[Launched]:
    started = Launched()
    yield started
    for process in started:
        process.kill()
        process.wait()


async def test_a_sibling_does_not_keep_a_lifeline_open(launched: Launched, log: Path) -> None:
    """The later sibling would have inherited the write end of the earlier one's pipe."""
    lifelines = [Lifeline(), Lifeline()]
    for lifeline in lifelines:
        await asyncio.to_thread(launched.python, HELD + READY + SLEEP, lifeline=lifeline, log=log)
    await until(lambda: said(log).count("ready") == 2)
    earlier, later = launched

    lifelines[0].close()
    await until(lambda: earlier.poll() is not None)

    assert earlier.returncode == -signal.SIGTERM
    assert later.poll() is None
    lifelines[1].close()
    await until(lambda: later.poll() is not None)


@asynccontextmanager
async def family(
    launched: Launched, folder: Path, loop: str, *codes: str
) -> AsyncIterator[list[psutil.Process]]:
    """Start a parent that keeps these programs as children; leave none behind."""
    pids = folder / "pids.json"
    logs = [folder / f"c{n}.log" for n in range(len(codes))]
    program = PARENT.format(loop=loop)
    await asyncio.to_thread(launched.python, program, str(pids), *codes, log=folder / "log")
    await until(lambda: said(pids))
    children = [psutil.Process(pid) for pid in json.loads(await asyncio.to_thread(said, pids))]
    try:
        await until(lambda: all("ready" in said(log) for log in logs))
        yield children
    finally:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()


@pytest.mark.fault(44)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_kill_9_of_the_parent_takes_all_children_with_it(
    launched: Launched, tmp_path: Path, loop: str
) -> None:
    async with family(launched, tmp_path, loop, *[HELD + READY + SLEEP] * 3) as children:
        launched[0].kill()

        await until(lambda: all(gone(child) for child in children), within_s=2.0)


async def test_kill_9_of_the_parent_takes_a_child_that_hears_no_signal(
    launched: Launched, tmp_path: Path
) -> None:
    """The main thread is in a busy loop; the escalation is shortened to 0.3 s."""
    async with family(launched, tmp_path, "asyncio", HELD + DEAF + READY + BUSY) as children:
        launched[0].kill()

        waited_s = await until(lambda: gone(children[0]), within_s=2.0)

    assert waited_s > 0.2
    assert "heard" in await asyncio.to_thread(said, tmp_path / "c0.log")

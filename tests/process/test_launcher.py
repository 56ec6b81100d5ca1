"""The launcher of tests keeps what it promises: its children are processes as any other."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.launcher import Launched, launch
from tests.process.test_child import gone
from tests.program import TOKEN, until

pytestmark = pytest.mark.e2e

BARE = {key: text for key, text in os.environ.items() if not key.startswith("TIDEHOLD")}
ENV = BARE | {"TIDEHOLD_TOKEN": TOKEN}
TESTS = """
import os, signal, sys
from tests.launcher import launch
launched = [launch(sys.argv[1:], os.environ) for _ in range(2)]
launched[0].send_signal(signal.SIGSTOP)
print(*(one.pid for one in launched), flush=True)
signal.pause()
"""


def node(folder: Path) -> list[str]:
    return ["node", "--data", str(folder), "--port=0", "--name=n1", "--source=none"]


async def started(folder: Path) -> Launched:
    """A node that has said where it listens."""
    program = launch(node(folder), ENV)
    log = folder / "logs" / "n1.log"

    async def greets() -> bool:
        assert program.poll() is None, program.stderr
        return log.exists() and "listens on" in log.read_text()

    await until(greets, "the node greets")
    return program


async def test_a_program_ends_as_it_is_told(tmp_path: Path) -> None:
    """With its own code, and with the signal that killed it; its words are kept."""
    asked, killed = await started(tmp_path / "a"), await started(tmp_path / "k")

    asked.send_signal(signal.SIGTERM)
    killed.send_signal(signal.SIGKILL)

    assert (asked.wait(15), killed.wait(15)) == (0, -signal.SIGKILL)
    assert "node n1 listens on http://127.0.0.1:" in asked.stderr
    assert not psutil.pid_exists(asked.pid)


def test_a_program_that_cannot_start_ends_with_its_line(tmp_path: Path) -> None:
    program = launch(node(tmp_path / "d"), BARE)

    assert program.wait(15) == 2
    assert program.stderr.startswith("node: a token is needed")
    assert not (tmp_path / "d").exists()


async def test_a_program_may_have_a_python_of_its_own(tmp_path: Path) -> None:
    """Then it is the same as one that was started by hand."""
    program = launch(node(tmp_path), ENV, fresh=True)
    process = psutil.Process(program.pid)

    async def anew() -> bool:
        return process.cmdline() == [sys.executable, "-m", *node(tmp_path)]

    await until(anew, "it has its own command line")
    program.send_signal(signal.SIGKILL)
    assert program.wait(15) == -signal.SIGKILL


async def test_a_frozen_program_runs_until_it_is_killed(tmp_path: Path) -> None:
    program = await started(tmp_path)

    program.send_signal(signal.SIGSTOP)

    with pytest.raises(TimeoutError):
        program.wait(0.05)
    assert program.poll() is None
    program.send_signal(signal.SIGKILL)
    assert program.wait(15) == -signal.SIGKILL


@pytest.fixture
def tests(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Tests that have started two programs, and frozen the first."""
    argv = [sys.executable, "-c", TESTS, *node(tmp_path)]
    with subprocess.Popen(argv, env=ENV, stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


async def test_nothing_outlives_tests_that_are_killed(tests: subprocess.Popen[bytes]) -> None:
    """Not what runs, nor what is frozen, nor the launcher."""
    assert tests.stdout is not None
    programs = [psutil.Process(int(pid)) for pid in tests.stdout.readline().split()]
    launcher = psutil.Process(programs[0].ppid())

    tests.kill()

    async def all_gone() -> bool:
        return all(gone(process) for process in (*programs, launcher))

    await until(all_gone, "they have ended")

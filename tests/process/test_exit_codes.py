"""How a start fails: one clear line, the documented exit code, and nothing is changed."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.launcher import Launched, run

pytestmark = pytest.mark.e2e

TOKEN = "a-token-for-exit-codes-0123456789"
ROOT = Path(__file__).parents[2]
USAGE, UNUSABLE = 2, 78
PROGRAMS = {
    "node": ("--name", "n1", "--source", "none", "--port", "0"),
    "central": ("--port", "0", "--ntp-port", "0"),
}


def command(program: str, data: Path, *flags: str) -> list[str]:
    return [program, "--data", str(data), *PROGRAMS[program], *flags]


def environment(token: str | None = TOKEN) -> dict[str, str]:
    """This process's, without other settings of ours; warnings would be more lines."""
    environ = {key: text for key, text in os.environ.items() if not key.startswith("TIDEHOLD")}
    return environ | ({"TIDEHOLD_TOKEN": token} if token is not None else {})


def fails(
    program: str,
    data: Path,
    *flags: str,
    code: int,
    says: str,
    token: str | None = TOKEN,
    under: Sequence[str] = (),
) -> None:
    """Start a program that cannot: its code, and its one line."""
    ended = start(command(program, data, *flags), environment(token), under)

    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith(f"{program}: ")
    assert says in lines[0]


def start(
    argv: Sequence[str], env: dict[str, str], under: Sequence[str]
) -> Launched | subprocess.CompletedProcess[str]:
    """Forked ready-made, unless it runs under another program."""
    if not under:
        return run(argv, env)
    return subprocess.run(
        [*under, sys.executable, "-m", *argv],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.fault(62)
def test_wrong_settings_end_with_2(program: str, tmp_path: Path) -> None:
    """Flags, keys, variables, tokens and addresses; the data folder is not even made."""
    data = tmp_path / "data"
    config = tmp_path / "c.toml"
    config.write_text("prot = 1\n")

    flags = ("--port", "99999") if program == "node" else ("--frobnicate",)
    fails(program, data, *flags, code=USAGE, says=flags[0])
    fails(program, data, "--config", str(config), code=USAGE, says="prot: no such setting")
    fails(program, data, "--host", "0.0.0.0", code=USAGE, says="loopback only")
    fails(program, data, code=USAGE, says="TIDEHOLD_TOKEN", token=None)
    fails(program, data, code=USAGE, says="16 or more", token="short")

    assert not data.exists()


@pytest.mark.fault(45)
def test_a_taken_port_ends_with_2(program: str, tmp_path: Path) -> None:
    """Before the database is touched; the line says which port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])

        fails(program, tmp_path / "d", "--port", port, code=USAGE, says=f"port {port} on 127.0.0.1")

    assert not (tmp_path / "d").exists()


def test_a_taken_time_port_ends_with_2(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = str(other.getsockname()[1])

        fails("central", tmp_path, "--ntp-port", port, code=USAGE, says=f"UDP port {port}")


def test_a_foreign_database_ends_with_78(program: str, tmp_path: Path) -> None:
    """The other program's file keeps its bytes."""
    file = tmp_path / f"{program}.db"
    with closing(sqlite3.connect(file)) as sql:
        sql.execute("CREATE TABLE theirs (x)")
    before = file.read_bytes()

    fails(program, tmp_path, code=UNUSABLE, says=f"{file}: it belongs to another program")

    assert file.read_bytes() == before


def test_a_file_that_is_no_database_ends_with_78(program: str, tmp_path: Path) -> None:
    (tmp_path / f"{program}.db").write_text("Dear diary")

    fails(program, tmp_path, code=UNUSABLE, says="file is not a database")


def test_a_folder_in_the_place_of_the_database_ends_with_78(program: str, tmp_path: Path) -> None:
    (tmp_path / f"{program}.db").mkdir()

    fails(program, tmp_path, code=UNUSABLE, says="unable to open")


def test_a_file_in_the_place_of_the_data_folder_ends_with_78(program: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("I was here first")

    fails(program, tmp_path / "data", code=UNUSABLE, says="data folder cannot be used")


def started(program: str, data: Path, *flags: str) -> subprocess.Popen[str]:
    """A program that runs: it has opened its database and says where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command(program, data, *flags)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:  # pytest-timeout bounds it
        said.append(line)
        if "listens on" in line:
            return process
    raise AssertionError("".join(said))


def without_root() -> list[str]:
    """What makes file modes hold for this program also where the tests run as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root ignores file modes, and setpriv is not installed")
    capabilities = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}"]


def test_a_read_only_database_ends_with_78(program: str, tmp_path: Path) -> None:
    """Not a service that refuses every record for ever."""
    with started(program, tmp_path) as first:
        first.terminate()
    (tmp_path / f"{program}.db").chmod(0o400)

    fails(program, tmp_path, code=UNUSABLE, says="readonly database", under=without_root())


def test_a_log_that_cannot_be_written_ends_with_78(program: str, tmp_path: Path) -> None:
    service = {"node": "n1"}.get(program, program)
    (tmp_path / "logs" / f"{service}.log").mkdir(parents=True)

    fails(program, tmp_path, code=UNUSABLE, says="data folder cannot be used")


@pytest.mark.fault(46)
def test_a_second_instance_ends_with_78_and_the_first_goes_on(program: str, tmp_path: Path) -> None:
    """Two programs never share a file; SIGTERM ends the first with 0."""
    with started(program, tmp_path) as first:
        fails(program, tmp_path, code=UNUSABLE, says="another process uses it")

        assert first.poll() is None
        first.send_signal(signal.SIGTERM)
        assert first.wait(15) == 0


def test_the_database_of_another_node_ends_with_78(tmp_path: Path) -> None:
    """n2 does not write into n1's history."""
    with started("node", tmp_path) as first:
        first.terminate()

    fails(
        "node",
        tmp_path,
        "--name",
        "n2",
        code=UNUSABLE,
        says=f"{tmp_path / 'node.db'}: it holds the records of node n1, not of n2",
    )


def test_a_wrong_time_server_ends_with_2(tmp_path: Path) -> None:
    fails("node", tmp_path, "--ntp", "host:port:x", code=USAGE, says="--ntp: ")


def test_a_console_without_a_terminal_ends_with_2() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "console"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == USAGE
    assert ended.stderr.count("\n") == 1

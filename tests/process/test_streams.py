"""A service whose standard streams nobody reads, or that never had any: it runs as ever."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.process.test_exit_codes import ROOT, environment
from tests.program import free_port

pytestmark = pytest.mark.e2e


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except urllib.error.URLError:
        return False


def until_answers(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait for the first answer of a program that was started."""
    deadline = time.monotonic() + 30
    while not answers(port):
        assert process.poll() is None, process.returncode
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("streams", ["broken", "closed"])
def test_a_service_needs_nobody_to_hear_it(tmp_path: Path, streams: str) -> None:
    """It answers, its log is in the file, and SIGTERM ends it with 0.

    Where a stream is closed its number must not become that of a database.
    """
    port = free_port()
    flags = ["--data", str(tmp_path), "--port", str(port), "--ntp-port", "0"]
    command = [sys.executable, "-m", "central", *flags]
    if streams == "closed":
        command = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *command]
    reader, writer = os.pipe()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=writer, stderr=writer
    )
    os.close(writer)
    os.close(reader)  # whoever writes gets EPIPE
    try:
        until_answers(process, port)
        standard = {str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in range(3)}
        process.send_signal(signal.SIGTERM)

        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
    if streams == "closed":
        assert standard == {os.devnull}
    log = (tmp_path / "logs" / "central.log").read_text()
    assert "central listens on" in log
    assert '"stopping"' in log

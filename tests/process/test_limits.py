"""A service asks for as many descriptors as it may need; many systems give 1,024 at first."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.test_exit_codes import ROOT, environment
from tests.process.test_streams import until_answers
from tests.program import free_port

pytestmark = pytest.mark.e2e


@pytest.mark.fault(43)
def test_more_descriptors_are_asked_for(tmp_path: Path) -> None:
    """Up to what it may have."""
    port = free_port()
    limits = 'ulimit -Sn 256 && ulimit -Hn 4096 && exec "$@"'
    flags = ["--name", "n1", "--data", str(tmp_path), "--port", str(port), "--source", "none"]
    command = ["sh", "-c", limits, "sh", sys.executable, "-m", "node", *flags]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE) as process:
        try:
            until_answers(process, port)

            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (4096, 4096)
        finally:
            process.kill()

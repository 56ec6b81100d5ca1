"""The kernel made to fail, to wait, or to tell: by strace, which may be missing.

Faults are put into a service that runs; only calls that concern the paths given are touched, so
that its log can still be written.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

WHY_NOT = "strace is not installed, or may not look into processes here"


@cache
def may_trace() -> bool:
    """Whether strace is there and allowed."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(
        ["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, timeout=30, check=False
    )
    return tried.returncode == 0


needs_strace = pytest.mark.skipif(not may_trace(), reason=WHY_NOT)


@contextmanager
def injected(pid: int, fault: str, *paths: Path) -> Iterator[None]:
    """While open, calls of a process fail: `fdatasync:error=EIO`, `pwrite64:delay_enter=300000`."""
    chosen = [argument for path in paths for argument in ("-P", str(path))]
    argv = ["strace", "-f", "-o", "/dev/null", *chosen, "-e", f"inject={fault}", "-p", str(pid)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert strace.stderr is not None
            told = strace.stderr.readline()
            while told and "attached" not in told:
                told = strace.stderr.readline()
            assert told, "strace could not attach"
            yield
        finally:
            strace.terminate()  # the process goes on without it

"""The folder of a cluster on one machine, for one run_cluster.py at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cluster.logs import logging_to
from cluster.trust.tokens import make_token


class FolderUnusable(Exception):
    """The data folder cannot be had; the text is one clear line."""


@contextmanager
def claimed(folder: Path) -> Iterator[tuple[Path, str]]:
    """The folder, for this program alone, and its token; both are made where they are not there.

    What this program does to its members is logged in there; the terminal is the console's.
    FolderUnusable says why it cannot be had.
    """
    with ExitStack() as stack:
        try:
            if not folder.exists():
                folder.mkdir(mode=0o700, parents=True)
            (folder / "logs").mkdir(mode=0o700, exist_ok=True)
            lock = stack.enter_context((folder / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            token = make_token(folder / "token")
            stack.enter_context(logging_to(folder, "run_cluster", "INFO", on_terminal=False))
        except BlockingIOError:
            raise FolderUnusable(
                f"--data {folder}: another run_cluster.py uses it; stop that one first, "
                "or give another folder"
            ) from None
        except OSError as error:
            raise FolderUnusable(f"--data {folder}: cannot be used: {error.strerror}") from None
        yield folder.absolute(), token

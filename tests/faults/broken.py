"""A service with bugs: `python -m tests.faults.broken POINT[,POINT...] FLAG central|node ...`.

From the moment that the file FLAG is there, the function that a POINT names raises `Bug`. Nothing
in the service knows of this: it is started as always, and this module puts them in from outside.
"""

import runpy
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

#: Where a bug can be, by a word: module and function.
POINTS = {
    "poll": "central.lane:Lane._poll",
    "pull": "central.replication:Replication.pull",
    "journal": "central.journal:Journal.flush",
    "writer": "cluster.writer:Writer._group",
    "clock watch": "cluster.clock.watch:Watch.look",
    "generator": "node.generator:Generator._make",
    "status": "central.parts:Parts.status",
}


class Bug(Exception):
    """Nobody expects it."""


def put_in(
    point: str,
    is_there: Callable[[Any], bool],
    replace: Callable[[Any, str, Any], object] = setattr,
) -> None:
    """Put the bug in; it is there whenever `is_there` says so of the object."""
    module, _, path = POINTS[point].partition(":")
    owner_name, _, name = path.partition(".")
    owner = getattr(import_module(module), owner_name)
    sound = getattr(owner, name)

    def broken(self: Any, *args: Any) -> Any:
        if is_there(self):
            raise Bug(point)
        return sound(self, *args)

    replace(owner, name, broken)


if __name__ == "__main__":
    words, flag, *sys.argv = sys.argv[1:]
    for word in words.split(","):
        put_in(word, lambda _: Path(flag).exists())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

"""Power cuts from one recording: what a disk may hold after a cut at any moment.

A program is run once under strace, which writes down each call that changes a file, byte for byte,
and each line that the program tells. A cut is then a place in that record. What a sync had finished
before it is there; of everything since, each sector of 512 bytes is there or not, each by itself.
Names that were given or taken since the folder was synced are there up to some moment.
"""

import random
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
CALLS = "openat,pwrite64,write,fdatasync,fsync,ftruncate,unlink,rename,link"
_LINE = re.compile(
    r"^(?P<pid>\d+) +(?:<\.\.\. \w+ resumed>|(?P<call>\w+)\((?P<asked>.*?))"
    r"(?:(?P<later> <unfinished \.\.\.>)|\)? += (?P<result>-?\d+).*)$"
)
_TEXT = r'"((?:\\x[0-9a-f]{2})*)"'
_FILE = r"^\d+<((?:\\x[0-9a-f]{2})*)>"


class Call(NamedTuple):
    """A call that has succeeded, or was under way: then it may have done a part."""

    name: str
    path: str
    content: bytes = b""
    at: int = 0


def record(argv: Sequence[str], log: Path, timeout_s: float) -> list[Call]:
    """Run a program to its end; what it did to files and told on its standard output."""
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "10000000"]
    subprocess.run(
        [*strace, "-e", f"trace={CALLS}", "-o", str(log), *argv],
        stdout=subprocess.DEVNULL,
        timeout=timeout_s,
        check=True,
    )
    with log.open(encoding="ascii") as lines:
        return list(_calls(lines))


def _calls(lines: Iterable[str]) -> Iterator[Call]:
    waiting: dict[str, tuple[str, str]] = {}
    for line in lines:
        if (found := _LINE.match(line)) is None or ("openat" in line and "O_CREAT" not in line):
            continue
        name, asked = found["call"], found["asked"]
        if found["later"]:
            waiting[found["pid"]] = name, asked
            if name in ("pwrite64", "ftruncate"):
                yield _call(name, asked)
        elif int(found["result"]) >= 0:
            if name is None:
                name, asked = waiting.pop(found["pid"])
            yield _call(name, asked)


def _call(name: str, asked: str) -> Call:
    texts = [_bytes(text) for text in re.findall(_TEXT, asked)]
    file = re.match(_FILE, asked)
    path = _bytes(file[1]).decode() if file else texts[0].decode()
    numbers = re.findall(r", (\d+)(?=,|$|\))", re.sub(_TEXT, "", asked))
    match name:
        case "pwrite64":
            return Call(name, path, texts[0], int(numbers[-1]))
        case "write":
            return Call(f"{name} {asked.partition('<')[0]}", path, texts[0])
        case "ftruncate":
            return Call(name, path, at=int(numbers[-1]))
        case "openat":
            return Call(name, path)
        case "rename" | "link":
            return Call(name, path, texts[1])
        case _:
            return Call(name, path)


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


@dataclass
class _Inode:
    """A file's bytes: those that a sync has made safe, and what was done since."""

    safe: bytearray = field(default_factory=bytearray)
    since: list[Call] = field(default_factory=list)

    def sync(self) -> None:
        self.safe, self.since = self.after_cut(random.Random(0), 1.0), []

    def after_cut(self, rng: random.Random, luck: float) -> bytearray:
        """What is left, when each sector that was not safe is there with this probability."""
        content = bytearray(self.safe)
        for call in self.since:
            if call.name == "ftruncate":
                if rng.random() < luck:
                    del content[call.at :]
                    content.extend(bytes(call.at - len(content)))
                continue
            for start in range(0, len(call.content), SECTOR):
                if rng.random() < luck:
                    sector = call.content[start : start + SECTOR]
                    at = call.at + start
                    content.extend(bytes(max(0, at + len(sector) - len(content))))
                    content[at : at + len(sector)] = sector
        return content


class Disk:
    """The files in one folder, as calls change them. Those named in `volatile` do not last."""

    def __init__(self, folder: Path, *, volatile: str = "-shm", honest: bool = True) -> None:
        self.told = b""  # what the program has said so far
        self._folder = str(folder)
        self._volatile = volatile
        self._honest = honest
        self._now: dict[str, _Inode] = {}
        self._safe: dict[str, _Inode] = {}
        self._since: list[dict[str, _Inode]] = []  # the names after each change of one

    def apply(self, call: Call) -> None:
        path = call.path
        if call.name == "write 1":
            self.told += call.content
        elif call.name in ("fdatasync", "fsync"):
            if path == self._folder:
                self._safe, self._since = dict(self._now), []
            elif path in self._now and self._honest:
                self._now[path].sync()
        elif self._is_ours(path):
            self._change(call, path)

    def _change(self, call: Call, path: str) -> None:
        if call.name == "openat" and path not in self._now:
            self._rename(self._now | {path: _Inode()})
        elif call.name == "unlink":
            self._rename({name: one for name, one in self._now.items() if name != path})
        elif call.name in ("rename", "link"):
            moved = self._now | {call.content.decode(): self._now[path]}
            if call.name == "rename":
                del moved[path]
            self._rename(moved)
        elif call.name in ("pwrite64", "ftruncate"):
            self._now[path].since.append(call)

    def _rename(self, names: dict[str, _Inode]) -> None:
        self._now = names
        self._since.append(dict(names))

    def _is_ours(self, path: str) -> bool:
        return str(Path(path).parent) == self._folder and not path.endswith(self._volatile)

    def cut(self, rng: random.Random, into: Path) -> None:
        """Write what is left after a cut now into a folder."""
        luck = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        names = rng.choice([self._safe, *self._since])
        into.mkdir()
        for path, inode in names.items():
            (into / Path(path).name).write_bytes(inode.after_cut(rng, luck))

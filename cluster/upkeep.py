"""`python -m node backup|restore|repair`, and the same of central: the file between two services.

A backup is taken while the service runs; the other two need it stopped. Nothing is ever written
over: a backup takes a new name, and what a restore or a repair replaces is kept in a folder
beside it.

Exit codes: 0 done, 2 wrong arguments, 78 it cannot be done and nothing was changed.
"""

import argparse
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cluster.digest import Digest, total
from cluster.repair import Rescue, rebuild
from cluster.replacement import next_of, put_in_place
from cluster.schema import (
    DAMAGE,
    Damaged,
    DatabaseUnusable,
    Schema,
    connect_to_read,
    has_log,
    inspect,
    locked,
    sqlite_code,
)
from cluster.snapshot import NoCopy, take
from cluster.text import visible

OK, UNUSABLE = 0, 78
_WHOLES = "SELECT count, sum FROM digests WHERE window = '' ORDER BY node"


class Upkeep:
    """The commands of one program. `file`: its database's name in the data folder.

    `refill` says what brings back the records that a repair could not save.
    """

    def __init__(
        self, program: str, file: str, schema: Schema, rescue: Rescue, refill: str
    ) -> None:
        self._program = program
        self._file = file
        self._schema = schema
        self._rescue = rescue
        self._refill = refill
        self._commands = {
            "backup": self._back_up,
            "restore": self._restore,
            "repair": self._repair,
        }

    def knows(self, argv: Sequence[str]) -> bool:
        """Whether the first argument is one of these commands."""
        return bool(argv) and argv[0] in self._commands

    def run(self, argv: Sequence[str]) -> int:
        """The exit code."""
        os.umask(0o077)
        options = self._parser().parse_args(argv)
        path = Path(options.data) / self._file
        try:
            self._commands[options.command](path, options)
        except (DatabaseUnusable, NoCopy) as error:
            line = str(error)
        except sqlite3.Error as error:
            line = f"SQLite says: {str(error).partition(chr(10))[0]}"
        except OSError as error:
            line = f"{error.filename or path}: {error.strerror}"
        else:
            return OK
        print(f"{self._program} {options.command}: {visible(line)}", file=sys.stderr)
        return UNUSABLE

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(prog=f"python -m {self._program}", allow_abbrev=False)
        commands = parser.add_subparsers(dest="command", required=True)
        backup = commands.add_parser(
            "backup", help="copy the database, sound and whole, while the service runs"
        )
        backup.add_argument("--to", required=True, type=Path, metavar="FILE|FOLDER")
        restore = commands.add_parser(
            "restore", help="put a backup in the database's place; the old one is kept"
        )
        restore.add_argument("--from", required=True, type=Path, metavar="FILE", dest="origin")
        repair = commands.add_parser(
            "repair", help="save what is whole of a damaged database; the old one is kept"
        )
        for command in (backup, restore, repair):
            command.add_argument(
                "--data", required=True, metavar="DIR", help=f"the folder of {self._file}"
            )
        return parser

    def _back_up(self, path: Path, options: argparse.Namespace) -> None:
        begun, to = time.monotonic(), options.to
        self._inspect(path)
        if to.is_dir():
            to /= f"{path.stem}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.db"
        size = take(path, to)
        print(f"{to}: {self._contents(to)}, {size} bytes, {time.monotonic() - begun:.1f} s")

    def _restore(self, path: Path, options: argparse.Namespace) -> None:
        begun = time.monotonic()
        self._inspect(options.origin)
        with locked(path):
            put_in_place(path)  # what an earlier one has left
            size = take(options.origin, next_of(path))
            kept = put_in_place(path)
        print(f"{path}: {self._contents(path)}, {size} bytes, {time.monotonic() - begun:.1f} s")
        if kept is not None:
            print(f"what was there is in {kept}")

    def _repair(self, path: Path, options: argparse.Namespace) -> None:
        with locked(path):
            put_in_place(path)
            if (damage := self._damage(path)) is None:
                print(f"{path}: sound; `python -m cluster.verify` looks into each record")
                return
            print(f"{path}: {visible(damage)}")
            lost = rebuild(path, self._schema, self._rescue)
            kept = put_in_place(path)
        print(f"saved: {self._contents(path)}")
        for line in lost:
            print(f"not saved: {visible(line)}")
        print(f"what was there is in {kept}; start again, then a {self._refill} brings the rest")

    def _damage(self, path: Path) -> str | None:
        """What is wrong with a database; None when nothing is. DatabaseUnusable: not ours."""
        if not path.exists() and not has_log(path):
            raise DatabaseUnusable(f"{path}: there is no database")
        try:
            inspect(path, self._schema, thorough=True)
        except Damaged as error:
            return str(error)
        except DatabaseUnusable as error:
            raise DatabaseUnusable(f"{path}: {error}") from None
        except sqlite3.Error as error:
            if sqlite_code(error) not in DAMAGE:
                raise
            return f"SQLite says: {error}"
        return None

    def _inspect(self, path: Path) -> None:
        """DatabaseUnusable unless it is a database of this program, which it can read."""
        try:
            version = inspect(path, self._schema)
        except DatabaseUnusable as error:
            raise DatabaseUnusable(f"{path}: {error}") from None
        if not version:
            raise DatabaseUnusable(f"{path}: there is no database")

    def _contents(self, path: Path) -> str:
        with closing(connect_to_read(path)) as sql:
            try:
                digest = total([Digest(*row) for row in sql.execute(_WHOLES)])
            except sqlite3.OperationalError:
                (version,) = sql.execute("PRAGMA user_version").fetchone()
                return f"of an older Tidehold (schema {version})"
        return f"{digest.count} records, digest {digest.text}"

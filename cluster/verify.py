"""`python -m cluster.verify FILE [--repair] [--head HEAD]`: is a node.db or central.db whole?

Each row's hash is worked out anew from its content, each kept digest from the rows. Without
--repair nothing is changed, and the service may go on running. With it, and the service stopped,
damaged rows go to the table `quarantine`: the digests of the two sides then differ by exactly
these records, so the next pull or push brings them back from the other side.

The chain of central's journal is followed to its end, and compared with a head that was kept
elsewhere. Nothing can repair it: what was done to it stays to be seen.

Exit codes: 0 all is well (with --repair: now), 1 something is damaged, 2 the file cannot be used.
"""

import argparse
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cluster import chain, windows
from cluster.damage import DamagedRow, Tallies, Tally, check_windows, damaged_rows
from cluster.database import REMEDIES
from cluster.record_set import schema
from cluster.schema import (
    READER_PRAGMAS,
    WRITER_PRAGMAS,
    DatabaseUnusable,
    check_there,
    configure,
    connect_to_read,
    has_log,
    inspect,
    locked,
    sqlite_code,
    transaction,
)
from cluster.text import visible

OK, DAMAGED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
NODE, CENTRAL = 0x54484E44, 0x54484345
#: What brings records back, by application_id.
RETURN = {NODE: "push to this node", CENTRAL: "pull of each node"}
_REMEDIES = {
    **{code: f"; {remedy}" for code, remedy in REMEDIES.items()},
    sqlite3.SQLITE_CORRUPT: "; `python -m node repair`, or `central repair`, saves what is whole",
}

_SET_ASIDE = "INSERT INTO quarantine VALUES (?, 'damaged', ?, ?, ?) ON CONFLICT DO NOTHING"
_FORGET = "DELETE FROM digests WHERE state <> 'dropped' AND node NOT IN (SELECT node FROM records)"
_NODES = "SELECT node FROM records UNION SELECT node FROM digests"


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    options = _parser().parse_args(argv)
    path: Path = options.file
    try:
        return (_repair if options.repair else _verify)(path, options.head)
    except DatabaseUnusable as error:
        line = str(error)
    except sqlite3.Error as error:
        said = str(error).partition("\n")[0]
        line = f"{path}: SQLite says: {said}{_REMEDIES.get(sqlite_code(error), '')}"
    except OSError as error:
        line = f"{path}: {error.strerror}"
    print(f"verify: {visible(line)}", file=sys.stderr)
    return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cluster.verify",
        description="Work every hash and digest in a database out anew, and say what is damaged.",
        epilog="Exit codes: 0 all is well, 1 something is damaged, 2 the file cannot be used.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a node.db or central.db")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="move damaged records to quarantine and make the digests anew; stop the service first",
    )
    parser.add_argument(
        "--head",
        type=_head,
        help="what GET /v1/status of central once told as journal_head: the journal must hold it",
    )
    return parser


def _head(text: str) -> chain.Head:
    try:
        return chain.parse_head(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _verify(path: Path, head: chain.Head | None) -> int:
    application_id = _identify(path)
    with closing(connect_to_read(path)) as sql:
        sql.text_factory = _lenient
        configure((*READER_PRAGMAS, "PRAGMA trusted_schema = OFF"), sql)
        sql.execute("BEGIN")  # one state of the file for all that follows
        count, tallies = _examine(sql)
        _print_nodes(sql, tallies)
        journal = _check_journal(application_id, sql, head)
    if not count and _fit(tallies):
        return journal
    print(f"damaged: {_summary(count, tallies)}; stop the service and give --repair")
    return DAMAGED


def _repair(path: Path, head: chain.Head | None) -> int:
    application_id = _identify(path)
    with locked(path), closing(_connect(path, "mode=rw")) as sql:
        sql.text_factory = _lenient
        configure(WRITER_PRAGMAS, sql)
        sql.execute("CREATE TEMP TABLE damaged (position INTEGER PRIMARY KEY)")
        with transaction(sql):
            count, tallies = _examine(sql, set_aside=True)
            if not count and _fit(tallies) and windows.is_folded(sql):
                _print_nodes(sql, tallies)
                return _check_journal(application_id, sql, head)
            _delete_and_rebuild(sql)
            left, now = _examine(sql)
            _print_nodes(sql, now)
        journal = _check_journal(application_id, sql, head)
    if count:
        print(
            f"{_records(count)} moved to quarantine; the next {RETURN[application_id]} fetches "
            "what the other side holds of them"
        )
    print(f"repaired: {_summary(count, tallies)}; the digests were worked out anew")
    if left or not _fit(now):
        print(f"still damaged: {_summary(left, now)}")
        return DAMAGED
    return journal


def _identify(path: Path) -> int:
    """The application_id. DatabaseUnusable unless this is a file of ours, and of this version."""
    if not path.exists():
        raise DatabaseUnusable(f"{path}: there is no such file")
    try:
        check_there(path)
    except DatabaseUnusable as error:
        raise DatabaseUnusable(f"{path}: {error}") from None
    with closing(_connect(path, "mode=ro" if has_log(path) else "immutable=1")) as sql:
        (application_id,) = sql.execute("PRAGMA application_id").fetchone()
        (version,) = sql.execute("PRAGMA user_version").fetchone()
    if application_id not in RETURN:
        raise DatabaseUnusable(f"{path}: it is no database of a node or of central")
    ours = schema(application_id)
    try:
        inspect(path, ours)
    except DatabaseUnusable as error:
        raise DatabaseUnusable(f"{path}: {error}") from None
    if version < len(ours.migrations):
        raise DatabaseUnusable(
            f"{path}: it was written by an older Tidehold (schema {version}); "
            "start its service once, which brings it up to date"
        )
    return int(application_id)


def _connect(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)


def _lenient(content: bytes) -> str:
    """A text, also where it was damaged."""
    return content.decode("utf-8", "replace")


def _examine(sql: sqlite3.Connection, *, set_aside: bool = False) -> tuple[int, Tallies]:
    """Read everything, and print a line for each damaged record; how many, and what each node has.

    Digests that were not brought up to the rows are left alone: the service will do it.
    """
    count, tallies = 0, Tallies()
    for row in damaged_rows(sql, tallies):
        count += 1
        print(f"{visible(row.node)} {row.id} at position {row.position}: {visible(row.wrong)}")
        if set_aside:
            _set_aside(sql, row)
    if windows.is_folded(sql):
        check_windows(sql, tallies)
    return count, tallies


def _set_aside(sql: sqlite3.Connection, row: DamagedRow) -> None:
    detail = f"at position {row.position}: {visible(row.wrong)}"
    sql.execute(_SET_ASIDE, (row.node, row.row, detail, time.time_ns() // 1000))
    sql.execute("INSERT INTO damaged VALUES (?)", (row.position,))


def _delete_and_rebuild(sql: sqlite3.Connection) -> None:
    """Delete what was set aside, and work out all that is derived from the rows."""
    sql.execute("REINDEX records")  # or a row whose id was damaged could not be deleted
    sql.execute("DELETE FROM records WHERE position IN (SELECT position FROM damaged)")
    sql.execute(_FORGET)
    for (node,) in sql.execute(_NODES).fetchall():
        windows.rebuild(sql, node)
    sql.execute("DELETE FROM removed")
    sql.execute("UPDATE folded SET position = ?", (windows.last_position(sql),))


def _check_journal(application_id: int, sql: sqlite3.Connection, head: chain.Head | None) -> int:
    """Print a line about central's journal; OK or DAMAGED."""
    if application_id != CENTRAL:
        if head is not None:
            raise DatabaseUnusable("a node has no journal; give --head with central.db")
        return OK
    found = chain.examine(sql, head)
    if found.wrong:
        print(f"JOURNAL BROKEN: {found.wrong}; it cannot be repaired")
        return DAMAGED
    if found.lines:
        print(f"journal: {found.lines} lines, unbroken, head {found.head}")
    return OK


def _print_nodes(sql: sqlite3.Connection, tallies: Tallies) -> None:
    folded = windows.is_folded(sql)
    for node, tally in sorted(tallies.items()):
        kept = _kept(tally) if folded else "changed by hand, so the kept digests are yet to follow"
        gone = f" and {tally.dropped.count} dropped" if tally.dropped.count else ""
        digest = (tally.rows + tally.dropped).text
        name = visible(node.decode("utf-8", "replace"))
        print(f"{name}: {_records(tally.rows.count)}{gone}, digest {digest}, {kept}")


def _kept(tally: Tally) -> str:
    if tally.fits:
        return "the kept digests are those of the rows"
    if tally.wrong:
        first = visible(tally.first_wrong)
        return f'KEPT DIGESTS WRONG: {tally.wrong} of {tally.windows} windows, first "{first}"'
    return "KEPT DIGESTS WRONG: they do not cover exactly the rows"


def _fit(tallies: Tallies) -> bool:
    return all(tally.fits for tally in tallies.values())


def _summary(count: int, tallies: Tallies) -> str:
    wrong = sum(not tally.fits for tally in tallies.values())
    return f"{_records(count)}, kept digests of {wrong} node{'s' if wrong != 1 else ''}"


def _records(count: int) -> str:
    return f"{count} record{'s' if count != 1 else ''}"


def run() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` may end it
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    run()

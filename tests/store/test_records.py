"""The table of records: its digest is always that of its rows, its windows those of a search."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule

from cluster import inside, page_file, records, windows
from cluster.digest import EMPTY, ID_DIGITS, MODULUS, Digest, children
from cluster.problem import Refusal
from cluster.record import Record, make
from cluster.records import Filter
from cluster.schema import transaction
from tests.page_files import rows_of

NODES = ("n1", "n2")
# Few ids that share long prefixes, and some that share none.
IDS = st.one_of(
    st.integers(0, 40).map(lambda n: bytes(15) + bytes([n])),
    st.integers(0, 255).map(lambda n: b"\x01\x90" + bytes([n]) + bytes(13)),
    st.binary(min_size=16, max_size=16),
)
HASHES = st.one_of(
    st.integers(0, MODULUS - 1), st.sampled_from([0, 1, MODULUS - 1, MODULUS - 2, 1 << 62])
)


def new_table(path: str | Path = ":memory:") -> sqlite3.Connection:
    """An empty table of records, as both services make it."""
    sql = sqlite3.connect(path, isolation_level=None)
    for statement in (*records.STATEMENTS, *windows.STATEMENTS, *page_file.ATTACH):
        sql.execute(statement)
    return sql


def some(number: int, *, node: str = "n1", stream: str = "s", payload: str = "{}") -> Record:
    """A record of its own for each number."""
    return make(number.to_bytes(16, "big"), node, number, stream, payload)


def digest_of(hashes: list[int]) -> Digest:
    return Digest(len(hashes), sum(hashes) % MODULUS)


def folded_digest(sql: sqlite3.Connection, node: str) -> Digest:
    """The digest after our own work, as it ends."""
    windows.fold_new(sql)
    return windows.digest(sql, node)


def check_windows(sql: sqlite3.Connection, node: str) -> None:
    """Every window that is kept has the digest of the rows inside, and can be opened."""
    rows = list(sql.execute("SELECT id, hash FROM records WHERE node = ?", (node,)))
    kept = list(sql.execute("SELECT window, count, sum FROM digests WHERE node = ?", (node,)))
    for window, size, total in kept:
        inner = [value for one, value in rows if one.hex().startswith(window)]
        assert Digest(size, total) == digest_of(inner), window
        (opened,) = inside.open_windows(sql, node, [window])
        assert opened.digest == digest_of(inner)


@contextmanager
def small_windows() -> Iterator[None]:
    """Windows are split and listed at sizes that a drawn set reaches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "SPLIT_ABOVE", 4)
        patch.setattr(inside, "LIST_MAX", 2)
        yield


class PersonWithAShell(RuleBasedStateMachine):
    """Whatever a plain connection tries, against a dict that does the same."""

    kept = Bundle("kept")

    def __init__(self) -> None:
        super().__init__()
        self.small = ExitStack()
        self.small.enter_context(small_windows())
        self.sql = new_table()
        self.model: dict[int, tuple[str, int]] = {}  # position -> (node, hash)
        self.numbers = count()

    def teardown(self) -> None:
        try:
            self.the_digest_is_that_of_the_rows()
        finally:
            self.sql.close()
            self.small.close()

    @rule(target=kept, node=st.sampled_from(NODES), value=HASHES)
    def insert(self, node: str, value: int) -> int:
        row = (next(self.numbers).to_bytes(16, "big"), node, 0, "s", "{}", value)
        position = self.sql.execute(
            "INSERT INTO records (id, node, ts, stream, payload, hash) VALUES (?, ?, ?, ?, ?, ?)",
            row,
        ).lastrowid
        assert position is not None
        self.model[position] = (node, value)
        return position

    @rule(position=consumes(kept))
    def delete(self, position: int) -> None:
        self.sql.execute("DELETE FROM records WHERE position = ?", (position,))
        del self.model[position]

    @rule(position=kept, node=st.sampled_from(NODES), value=HASHES)
    def try_to_change(self, position: int, node: str, value: int) -> None:
        with pytest.raises(sqlite3.IntegrityError, match="a record is never changed"):
            self.sql.execute(
                "UPDATE records SET node = ?, hash = ? WHERE position = ?", (node, value, position)
            )

    @rule(target=kept, position=consumes(kept), value=HASHES)
    def replace(self, position: int, value: int) -> int:
        now = self.sql.execute(
            "INSERT OR REPLACE INTO records (id, node, ts, stream, payload, hash) "
            "SELECT id, node, ts, stream, payload, ? FROM records WHERE position = ?",
            (value, position),
        ).lastrowid
        assert now is not None
        owner, _ = self.model.pop(position)
        self.model[now] = (owner, value)
        return now

    @rule()
    def delete_and_regret(self) -> None:
        self.sql.execute("BEGIN")
        self.sql.execute("DELETE FROM records")
        self.sql.execute("ROLLBACK")

    @rule()
    def the_digest_is_that_of_the_rows(self) -> None:
        """Looked at now and then, so that several changes come together."""
        with transaction(self.sql):
            windows.adopt(self.sql, foreign=True)
        for node in NODES:
            hashes = [value for owner, value in self.model.values() if owner == node]
            assert windows.digest(self.sql, node) == digest_of(hashes)
            check_windows(self.sql, node)


PersonWithAShell.TestCase.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None
)
test_the_digest_follows_every_change_of_the_rows = PersonWithAShell.TestCase


def test_a_row_that_is_replaced_and_then_deleted_is_gone() -> None:
    """Also where nothing else has happened to its node's set since the last look."""
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", [some(1)])
        windows.adopt(sql, foreign=True)

        sql.execute(
            "INSERT OR REPLACE INTO records (id, node, ts, stream, payload, hash) "
            "SELECT id, node, ts, stream, payload, hash FROM records"
        )
        sql.execute("DELETE FROM records")
        windows.adopt(sql, foreign=True)

        assert windows.digest(sql, "n1") == EMPTY


@pytest.mark.parametrize(
    "how",
    [
        "INSERT INTO records SELECT 2, randomblob(16), node, ts, stream, payload, hash "
        "FROM records WHERE position = 1",
        "INSERT OR REPLACE INTO records SELECT position, id, node, ts, stream, payload, hash / 2 "
        "FROM records WHERE position = 1",
    ],
    ids=["into a gap", "over another"],
)
def test_what_is_put_at_an_old_position_does_not_go_unnoticed(how: str) -> None:
    """As when rows of a backup are copied back whole: refused, or in the digest."""
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", [some(number) for number in range(1, 4)])
        sql.execute("DELETE FROM records WHERE position = 2")
        windows.adopt(sql, foreign=True)

        with suppress(sqlite3.IntegrityError):
            sql.execute(how)
        windows.adopt(sql, foreign=True)

        hashes = [value for (value,) in sql.execute("SELECT hash FROM records")]
        assert windows.digest(sql, "n1") == digest_of(hashes)


def test_digests_are_exact_at_the_edge_of_63_bits() -> None:
    """Sums that would become floats in SQL (and lose their last digits) do not."""
    highest = MODULUS - 1
    with closing(new_table()) as sql:
        for number in range(1, 1001):
            row = (number.to_bytes(16, "big"), "n1", 0, "s", "{}", highest - number % 3)
            records.insert_missing(sql, "n1", [Record(*row)])

        expected = digest_of([highest - number % 3 for number in range(1, 1001)])
        assert folded_digest(sql, "n1") == expected
        (whole,) = inside.open_windows(sql, "n1", ["0" * 28])
        assert whole.children is not None
        assert sum(whole.children.values(), EMPTY) == expected
        sql.execute("DELETE FROM records")
        assert folded_digest(sql, "n1") == EMPTY


@pytest.mark.parametrize(
    "change",
    [
        "hash = -1",
        "id = x'00'",
        "id = 'text of 16 bytes'",
        "node = ''",
        "stream = ''",
        "payload = printf('%.*c', 65537, 'x')",
        "ts = 'soon'",
        "hash = 9223372036854775808",
    ],
)
def test_the_table_itself_refuses_what_cannot_be_a_record(change: str) -> None:
    """Types and lengths hold even for a person with the sqlite3 shell."""
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", [some(1)])
        sql.execute("DROP TRIGGER records_unchanged")

        with pytest.raises(sqlite3.IntegrityError):
            sql.execute(f"UPDATE records SET {change}")

        assert folded_digest(sql, "n1") == digest_of([some(1).hash])


def test_insert_missing_tells_new_from_duplicate_from_conflict() -> None:
    """Every row of a batch is one of the three; what is held is never overwritten."""
    held, altered = some(1), some(1, payload='{"a":2}')
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", [held])

        outcome = records.insert_missing(sql, "n1", [some(2), held, altered, some(3)])

        assert (outcome.inserted, outcome.duplicate) == (2, 1)
        assert outcome.conflicts == {(altered.id, altered.hash)}
        page = records.page_after(sql, 0, 1, Filter())
        assert page.rows == [(held, 1)]


def test_within_one_batch_the_first_of_an_id_is_kept() -> None:
    """The same row twice is a duplicate, another content under the same id a conflict."""
    first, other = some(1), some(1, payload='{"a":2}')
    with closing(new_table()) as sql:
        outcome = records.insert_missing(sql, "n1", [first, first, other])

        assert (outcome.inserted, outcome.duplicate) == (1, 1)
        assert outcome.conflicts == {(other.id, other.hash)}
        assert folded_digest(sql, "n1") == digest_of([first.hash])


def test_nodes_may_have_the_same_ids() -> None:
    """An id belongs to its node's set; the same id of another node is another record."""
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", [some(1)])

        outcome = records.insert_missing(sql, "n2", [some(1, node="n2")])

        assert outcome.inserted == 1
        assert folded_digest(sql, "n1").count == folded_digest(sql, "n2").count == 1


def test_an_empty_batch_changes_nothing() -> None:
    with closing(new_table()) as sql:
        outcome = records.insert_missing(sql, "n1", [])

        assert (outcome.inserted, outcome.duplicate, outcome.conflicts) == (0, 0, frozenset())
        assert folded_digest(sql, "n1") == EMPTY


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1)), max_size=8), max_size=5
    )
)
def test_batches_in_any_order_and_number_add_up(batches: list[list[tuple[int, int]]]) -> None:
    """Sent again, sent twice, mixed: received = inserted + duplicate + conflict, first wins."""
    model: dict[bytes, Record] = {}
    with closing(new_table()) as sql:
        for batch in batches:
            rows = [some(number, payload=f'{{"v":{version}}}') for number, version in batch]
            before = len(model)
            clashing = 0
            for row in rows:
                clashing += model.setdefault(row.id, row) != row

            outcome = records.insert_missing(sql, "n1", rows)

            assert outcome.inserted == len(model) - before
            assert outcome.duplicate == len(rows) - outcome.inserted - clashing

        held = {row.id: row.hash for row in model.values()}
        assert inside.list_window(sql, "n1", "") == held
        assert folded_digest(sql, "n1") == digest_of([row.hash for row in model.values()])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_follow_each_other_without_gap_or_overlap(limit: int) -> None:
    """Following `next` while `more` brings every record once, in order."""
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", [some(number) for number in range(1, 8)])
        sql.execute("DELETE FROM records WHERE position = 4")

        seen, after, more = [], 0, True
        while more:
            page = records.page_after(sql, after, limit, Filter())
            assert len(page.rows) <= limit
            seen += [position for _, position in page.rows]
            after, more = page.next, page.more

        assert seen == [1, 2, 3, 5, 6, 7]
        assert after == 7
        assert records.page_after(sql, after, limit, Filter()) == records.Page([], 7, False)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), [1, 2, 3, 4, 5, 6]),
        (Filter(node="n2"), [5, 6]),
        (Filter(stream="b"), [2, 4, 6]),
        (Filter(since=2, until=5), [2, 3, 4]),
        (Filter(since=5), [5, 6]),
        (Filter(until=1), []),
        (Filter(node="n1", stream="b", since=3), [4]),
    ],
)
def test_a_page_holds_what_was_wanted(wanted: Filter, expected: list[int]) -> None:
    """`since` is inclusive, `until` is not, and all conditions hold together."""
    with closing(new_table()) as sql:
        for number in range(1, 7):
            row = some(number, node=NODES[number > 4], stream="ab"[number % 2 == 0])
            records.insert_missing(sql, row.node, [row])

        page = records.page_after(sql, 0, 100, wanted)

        assert [position for _, position in page.rows] == expected


def test_a_page_of_large_records_is_cut_by_its_bytes() -> None:
    """A page never grows much over its cap, and never stands still."""
    large = '{"a":"' + "x" * 60_000 + '"}'
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", [some(n, payload=large) for n in range(1, 201)])

        page = records.page_after(sql, 0, 5_000, Filter())

    cap = records.PAGE_BYTES_MAX
    assert cap - len(large) <= len(page.rows) * len(large) <= cap + 2 * len(large)
    assert page.more
    assert page.next == page.rows[-1][1]


def test_a_position_is_never_given_twice() -> None:
    """Deleting the newest row does not let the next one take its position."""
    with closing(new_table()) as sql:
        assert windows.last_position(sql) == 0
        records.insert_missing(sql, "n1", [some(1), some(2)])
        sql.execute("DELETE FROM records WHERE position = 2")

        records.insert_missing(sql, "n1", [some(3)])

        assert windows.last_position(sql) == 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    elements=st.dictionaries(IDS, HASHES, min_size=1, max_size=40),
    folds=st.sets(st.integers(1, 40), max_size=3),
    length=st.integers(0, ID_DIGITS),
    upto=st.integers(0, 41),
)
def test_an_open_window_is_that_of_a_search_by_hand(
    elements: dict[bytes, int], folds: set[int], length: int, upto: int
) -> None:
    """For any ids, every prefix length, any moment in the past, stored in any number of batches."""
    ids = list(elements)
    window = ids[0].hex()[:length]
    with closing(new_table()) as sql, small_windows():
        for number, (key, value) in enumerate(elements.items(), 1):
            record = Record(key, "n1", 0, "s", "{}", value)
            records.insert_missing(sql, "n1", [record])
            records.insert_missing(sql, "n2", [record._replace(node="n2")])
            if number in folds:
                windows.fold(sql)
        windows.fold(sql)

        (found,) = inside.open_windows(sql, "n1", [window], 2 * upto)
        check_windows(sql, "n1")

    then = {one: elements[one] for one in ids[:upto] if one.hex().startswith(window)}
    assert found.digest == digest_of(list(then.values()))
    assert (found.children is None) == (found.elements is not None)
    if found.elements is not None:
        assert found.elements == then
        assert len(then) <= inside.LIST_MAX or length == ID_DIGITS
    else:
        assert found.children == {
            child: digest_of(hashes)
            for child in children(window)
            if (hashes := [value for one, value in then.items() if one.hex().startswith(child)])
        }


def test_a_window_is_not_opened_too_far_back() -> None:
    """Every row since would have to be read: the other side begins with a new status instead."""
    with closing(new_table()) as sql, pytest.MonkeyPatch.context() as patch:
        patch.setattr(inside, "TAIL_MAX", 5)
        records.insert_missing(sql, "n1", [some(number) for number in range(10)])
        windows.fold(sql)

        (opened,) = inside.open_windows(sql, "n1", [""], 5)
        with pytest.raises(Refusal, match="begin with a new status") as refused:
            inside.open_windows(sql, "n1", [""], 4)

    assert opened.digest.count == 5
    assert refused.value.problem.code == "status_old"


@settings(max_examples=25, deadline=None)
@given(
    ids=st.lists(IDS, min_size=1, max_size=25, unique=True),
    length=st.integers(0, 32),
    upto=st.integers(0, 26),
)
def test_the_list_of_a_window_is_that_of_a_search_by_hand(
    ids: list[bytes], length: int, upto: int
) -> None:
    """In the order of the ids, none after `upto`."""
    window = ids[0].hex()[:length]
    rows = [make(one, "n1", 0, "s", "{}") for one in ids]
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", rows)

        found = inside.list_window(sql, "n1", window, upto)

    expected = sorted((row.id, row.hash) for row in rows[:upto] if row.id.hex().startswith(window))
    assert list(found.items()) == expected


@settings(max_examples=25, deadline=None)
@given(
    ids=st.lists(IDS, min_size=1, max_size=25, unique=True),
    length=st.integers(0, 32),
    first=IDS,
    limit=st.integers(1, 10),
    upto=st.integers(0, 26),
)
def test_a_page_of_windows_is_that_of_a_search_by_hand(
    ids: list[bytes], length: int, first: bytes, limit: int, upto: int
) -> None:
    """In order of the ids, from `first` on, at most `limit`, none after `upto`, and it leads on."""
    asked = sorted({ids[0].hex()[:length], ids[-1].hex()[:length]})
    rows = [make(one, "n1", 0, "s", "{}") for one in ids]
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", rows)
        records.insert_missing(sql, "n2", [make(one, "n2", 0, "s", "{}") for one in ids])

        page = page_file.build_windows(sql, "n1", asked, first, limit, upto)

    inner = sorted(row for row in rows[:upto] if row.id.hex()[:length] in asked)
    expected = [row for row in inner if row.id >= first]
    got = sorted(Record._make(row[1:]) for row in rows_of(page.content))
    assert got == expected[:limit]
    assert page.count == len(got)
    assert page.more or len(got) == len(expected)
    assert page.max_id == (got[-1].id if got else b"")


@settings(max_examples=25, deadline=None)
@given(ids=st.lists(IDS, max_size=10, unique=True))
def test_the_span_is_the_smallest_window_of_the_whole_set(ids: list[bytes]) -> None:
    """None for an empty set; otherwise the longest prefix that all ids share."""
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", [make(one, "n1", 0, "s", "{}") for one in ids])

        found = records.span(sql, "n1")

    if not ids:
        assert found is None
    else:
        assert found is not None
        assert all(one.hex().startswith(found) for one in ids)
        assert len(found) == 32 or len({one.hex()[: len(found) + 1] for one in ids}) > 1


def test_what_is_skipped_uses_up_no_position() -> None:
    """Positions stay without gaps, so that a poll can count what came after a position."""
    with closing(new_table()) as sql:
        records.insert_missing(sql, "n1", [some(number) for number in range(4)])

        records.insert_missing(sql, "n1", [some(number) for number in range(4)])
        records.insert_missing(sql, "n1", [some(9), some(9), some(1, stream="other"), some(10)])
        page = records.page_after(sql, 0, 100, Filter())

        assert [position for _, position in page.rows] == [1, 2, 3, 4, 5, 6]
        assert windows.last_position(sql) == 6

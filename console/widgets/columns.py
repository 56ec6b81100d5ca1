"""The columns of the fleet's table: how a width is shared out. Pure."""

from dataclasses import dataclass

from console.history import SPARK_BUCKETS

STATE, DRIFT = 11, 8
NAME_MIN, NAME_MAX = 8, 24
BESIDE_MIN = len("⇣43% retry 0:24 #12")
BOTH_MISSING_FROM = 93
#: From which width on a count, and what is missing, may be how wide.
NUMBERS = ((100, 12, 9), (83, 10, 9), (0, 9, 8))


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths in cells. `both`: there is room for a column for each side that lacks records.

    `spark`: of the drift of the last minutes; 0 where there is no room for it.
    """

    name: int
    beside: int
    number: int
    missing: int
    both: bool
    spark: int


def columns(width: int, longest_name: int, *, sparks: bool = True) -> Columns:
    """Share out the width: numbers first, then what the state says; a long name gives way."""
    both = width >= BOTH_MISSING_FROM
    shared = _shared(width, longest_name, both, sparks)
    if both and shared.name < min(longest_name, NAME_MAX):
        return _shared(width, longest_name, False, sparks)
    return shared


def _shared(width: int, longest_name: int, both: bool, sparks: bool) -> Columns:
    number, missing = next(sizes for least, *sizes in NUMBERS if max(width, 0) >= least)
    fixed = 1 + STATE + DRIFT + 2 * number + missing * (2 if both else 1) + (7 if both else 6)
    free = width - fixed - 1  # the last cell is the scroll bar's
    name = min(longest_name, NAME_MAX, max(NAME_MIN, free - BESIDE_MIN))
    spare = free - name - BESIDE_MIN - 1
    spark = SPARK_BUCKETS if sparks and spare >= SPARK_BUCKETS else 0
    return Columns(
        name, max(0, free - name - (spark + 1 if spark else 0)), number, missing, both, spark
    )

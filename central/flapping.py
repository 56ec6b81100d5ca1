"""Whether a node flaps: a pure function of what was and of whether one poll was answered.

More than 6 changes in the last 21 results and it flaps, until 7 results in a row are alike. Its
ups and downs are not worth a line each meanwhile.
"""

from dataclasses import dataclass

RESULTS = 21
CHANGES_MAX = 6
STEADY_AFTER = 7

_RESULTS_MASK = (1 << RESULTS) - 1
_CHANGES_MASK = _RESULTS_MASK >> 1
_STEADY_MASK = (1 << STEADY_AFTER) - 1


@dataclass(frozen=True, slots=True)
class Flaps:
    """`results`: the latest, one bit each, the newest last; None before the first."""

    results: int | None = None
    flapping: bool = False


def after(before: Flaps, answered: bool) -> Flaps:
    """After one more poll."""
    if before.results is None:  # as if it had always been so
        return Flaps(_RESULTS_MASK if answered else 0)
    results = (before.results << 1 | answered) & _RESULTS_MASK
    if before.flapping:
        steady = results & _STEADY_MASK in (0, _STEADY_MASK)
        return Flaps(None) if steady else Flaps(results, flapping=True)
    changes = ((results ^ results >> 1) & _CHANGES_MASK).bit_count()
    return Flaps(results, flapping=changes > CHANGES_MAX)

"""Guesses: who tries one wrong token after another is told to wait.

A member with an old token sends the same wrong one again and again: that is no guess, and counts
once. From an address of many guesses nobody is let in for a while but those who were before, so
that a guesser beside them does not lock them out.
"""

import time
from collections import OrderedDict, deque

from cluster.problem import Refusal

DIFFERENT_MAX = 10  # wrong tokens of one address in a while
WHILE_S = 60.0
ADDRESSES_MAX = 1024  # of each kind that are remembered


class Guesses:
    """Wrong tokens, by address, and who was let in from where."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, deque[tuple[float, bytes]]] = OrderedDict()
        self._let_in: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def let_in(self, address: str, mark: bytes) -> None:
        """This one was right. Refusal when its address guesses too much to tell."""
        who = (address, mark)
        if who not in self._let_in:
            self._check(address)
            self._let_in[who] = None
            if len(self._let_in) > ADDRESSES_MAX:
                self._let_in.popitem(last=False)

    def failed(self, address: str, mark: bytes) -> None:
        """This one was wrong. Refusal when it was one of too many."""
        self._check(address)
        tried = self._wrong.setdefault(address, deque(maxlen=DIFFERENT_MAX))
        self._wrong.move_to_end(address)
        if all(mark != before for _, before in tried):
            tried.append((time.monotonic(), mark))
        if len(self._wrong) > ADDRESSES_MAX:
            self._wrong.popitem(last=False)

    def _check(self, address: str) -> None:
        tried = self._wrong.get(address)
        if tried is None:
            return
        now_s = time.monotonic()
        while tried and now_s - tried[0][0] >= WHILE_S:
            tried.popleft()
        if len(tried) == DIFFERENT_MAX:
            wait_s = int(WHILE_S - (now_s - tried[0][0])) + 1
            raise Refusal(
                "too_many_requests",
                f"{DIFFERENT_MAX} wrong tokens in {WHILE_S:.0f} s came from this address; wait",
                retry_after_s=wait_s,
            )

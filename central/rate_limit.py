"""How often one client may ask: some at once, then so many a second. The rest hears it once.

Pure: told the time. A token bucket for each client, kept as one number: when the last of what it
asked is paid for. The longest silent client is forgotten first, so a flood of made-up addresses
costs no more memory, and wins them nothing: each of the forgotten starts with a full bucket anyway.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

BURST = 64
PER_S = 8.0
CLIENTS = 10_000
KISS_EVERY_S = 1.0

Verdict = Literal["answer", "kiss", "silence"]


@dataclass(slots=True)
class _Account:
    paid_at: float  # monotonic seconds
    kiss_at: float  # the next may be sent


class RateLimit:
    """Lets a client ask `burst` times at once and `per_s` times a second. Remembers `clients`.

    Loopback is exempt, unless `spare_loopback` is false: a whole cluster may live on one machine.
    """

    def __init__(
        self,
        burst: int = BURST,
        per_s: float = PER_S,
        clients: int = CLIENTS,
        spare_loopback: bool = True,
    ) -> None:
        assert burst >= 1, "nobody would ever be answered"
        self._spare_loopback = spare_loopback
        self._each_s = 1 / per_s
        self._credit_s = (burst - 1) * self._each_s
        self._clients = clients
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts)

    def judge(self, client: str, now_s: float) -> Verdict:
        """What a question of `client`, an IP address, deserves at `now_s`, monotonic seconds.

        Over the limit: a kiss, which asks it to slow down, once a second at most, else silence.
        """
        if self._spare_loopback and _is_loopback(client):
            return "answer"
        account = self._account(client, now_s)
        account.paid_at = max(account.paid_at, now_s)
        if account.paid_at - now_s <= self._credit_s:
            account.paid_at += self._each_s
            return "answer"
        if now_s < account.kiss_at:
            return "silence"
        account.kiss_at = now_s + KISS_EVERY_S
        return "kiss"

    def _account(self, client: str, now_s: float) -> _Account:
        account = self._accounts.get(client)
        if account is None:
            account = self._accounts[client] = _Account(now_s, now_s)
            if len(self._accounts) > self._clients:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(client)
        return account


def _is_loopback(address: str) -> bool:
    # By its text, as every question comes here. A dual-stack socket writes ::ffff:127.0.0.1.
    return address == "::1" or address.removeprefix("::ffff:").startswith("127.")

"""A service's keyring: the tokens that it lets in, by role, and those that it brings to others."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.exchange import Role
from cluster.settings import SettingsWrong
from cluster.trust.tokens import Token, Tokens


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a token: a role and, where it is bound, the node's name."""

    role: Role
    node: str | None
    until_s: float


@dataclass(slots=True)
class Keyring:
    """`let_in` has the tokens of each role; `brought` are for the other kind of member.

    SettingsWrong when one token stands for two roles.
    """

    let_in: Mapping[Role, Tokens]
    brought: Tokens
    _holders: dict[bytes, Holder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._holders = self._sorted()

    @classmethod
    def of(cls, operator: str, viewer: str | None = None) -> "Keyring":
        """One token that opens everything and is brought to others, and one that may look."""
        known: dict[Role, Tokens] = {"operator": Tokens.one(operator)}
        if viewer is not None:
            known["viewer"] = Tokens.one(viewer)
        return cls(known, known["operator"])

    def holder(self, mark: bytes) -> Holder | None:
        """Whose token has this fingerprint, if it holds now.

        The time that it takes to look up a fingerprint tells nothing about any token.
        """
        found = self._holders.get(mark)
        return found if found is not None and time.time() < found.until_s else None

    def bring(self, node: str | None = None) -> str:
        """The token that is brought to this node, or to whoever it is."""
        return self.brought.for_node(node)

    def renew(self) -> bool:
        """Read again what has changed on the disk; whether anything had. SettingsWrong: not all."""
        changed = False
        try:
            for tokens in {*self.let_in.values(), self.brought}:
                changed = tokens.renew() or changed
        finally:  # what could be read counts
            if changed:
                self._holders = self._sorted()
        return changed

    def _sorted(self) -> dict[bytes, Holder]:
        holders: dict[bytes, Holder] = {}
        for role, tokens in self.let_in.items():
            for token in tokens.tokens:
                _refuse_shared(holders.get(token.fingerprint), role)
                holders[token.fingerprint] = _holder(token, role)
        return holders


def _holder(token: Token, role: Role) -> Holder:
    return Holder(role, token.node, token.until_s)


def _refuse_shared(other: Holder | None, role: Role) -> None:
    if other is not None and other.role != role:
        raise SettingsWrong(f"one token stands for {other.role} and {role}: make another one")

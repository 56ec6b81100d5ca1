"""The gate: whose token a request brings, what that role may do, and from which site it comes.

An operator may do everything; a viewer may only GET, which never has an effect; central does at a
node what replication needs; a node says hello to central, for itself.
"""

import re
from typing import Any

from aiohttp import web

from cluster.exchange import Exchange, Role
from cluster.problem import Refusal
from cluster.settings import LOOPBACK
from cluster.trust.guesses import Guesses
from cluster.trust.keyring import Holder, Keyring
from cluster.trust.tokens import fingerprint

NO_TOKEN = "send Authorization: Bearer TOKEN"
WRONG_TOKEN = f"not a token that this service lets in; {NO_TOKEN}"
#: What somebody of a role is told who wants more.
ONLY = {
    "viewer": "it may only look; ask with an operator's token",
    "node": "a node's token only says hello; ask with an operator's token",
    "central": "this is not central's; ask with an operator's token",
}

_HOLDER = web.RequestKey("HOLDER", Holder)
_BEARER = re.compile(r"[Bb]earer +(\S+)")


def role_of(request: web.Request) -> Role:
    """The role of whoever sent a request that was let in."""
    return request[_HOLDER].role


def permit(request: web.Request, exchange: Exchange[Any, Any]) -> None:
    """Refusal where the role of who asks does not reach."""
    if not exchange.public and (role := role_of(request)) not in exchange.roles:
        raise Refusal("forbidden", ONLY[role])


def check_speaks_for(request: web.Request, node: str) -> None:
    """Refusal when who asks may not speak for this node."""
    bound = request[_HOLDER].node
    if bound not in (None, node):
        raise Refusal("forbidden", f"this token is of node {bound}")


class Gate:
    """Lets requests in. `secure`: all of them come over TLS."""

    def __init__(self, keyring: Keyring, *, secure: bool = False) -> None:
        self._keyring = keyring
        self._secure = secure
        self._guesses = Guesses()

    def admit(self, request: web.Request) -> None:
        """Note who asks. Refusal without a token that holds."""
        given = request.headers.get("Authorization", "")
        found = _BEARER.fullmatch(given)
        if found is None:
            raise Refusal("unauthorized", WRONG_TOKEN if given else NO_TOKEN)
        address, mark = request.remote or "", fingerprint(found[1])
        holder = self._keyring.holder(mark)
        if holder is None:
            self._guesses.failed(address, mark)
            raise Refusal("unauthorized", WRONG_TOKEN)
        self._guesses.let_in(address, mark)
        request[_HOLDER] = holder

    def check_site(self, request: web.Request) -> None:
        """Refusal for what a page of another site has its reader's browser ask.

        No page can set our token, but one may guess: by its own name for this machine (DNS
        rebinding), or at an address that it knows.
        """
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{request.host}":
            raise Refusal("foreign_origin", "pages of other sites may ask nothing here")
        # With TLS, the name is proven by the certificate; without, we listen on loopback only.
        if not self._secure and not LOOPBACK.match(_name_in(request.host)):
            raise Refusal("foreign_host", "ask for localhost, 127.0.0.1 or [::1]")


def _name_in(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.rpartition(":")
    named = name if colon and port.isascii() and port.isdigit() else host
    return named.removeprefix("[").removesuffix("]").lower()

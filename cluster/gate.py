"""The gate: whose token a request brings, and what that role may do.

An operator may do everything; a viewer may only GET, which never has an effect.
"""

import hmac
from typing import cast

from aiohttp import web

from cluster.problem import Refusal
from cluster.protocol.views import Role

NO_TOKEN = "send Authorization: Bearer TOKEN"
WRONG_TOKEN = f"not the token that this service was started with; {NO_TOKEN}"

_ROLE = web.RequestKey("ROLE", str)


def role_of(request: web.Request) -> Role:
    """The role of whoever sent a request that was let in."""
    return cast("Role", request[_ROLE])


class Gate:
    """One token for each role; a viewer's only where there is one."""

    def __init__(self, operator: str, viewer: str | None = None) -> None:
        tokens: tuple[tuple[str | None, Role], ...] = ((operator, "operator"), (viewer, "viewer"))
        self._roles = [(f"Bearer {token}".encode(), role) for token, role in tokens if token]

    def admit(self, request: web.Request) -> None:
        """Note the role of who asks. Refusal without a token, or where it does not reach."""
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        # Each is compared, so that the time taken tells nothing.
        fitting = [role for token, role in self._roles if hmac.compare_digest(given, token)]
        if not fitting:
            raise Refusal("unauthorized", WRONG_TOKEN if given else NO_TOKEN)
        request[_ROLE] = role = fitting[0]
        if role == "viewer" and request.method != "GET":
            raise Refusal("forbidden", "it may only look; ask with an operator's token")

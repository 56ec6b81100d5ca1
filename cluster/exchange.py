"""An exchange: one request and its reply, declared once.

Method, path, types and limits stand here and nowhere else; `cluster.server` makes the route of
it, `cluster.peer` the call, `cluster.openapi` the documents. An `Ask` holds the path parameters
and the query (GET, DELETE) or the JSON body (POST, PATCH), so one frozen Struct is the whole
request. Asks refuse unknown fields; replies tolerate them, so old and new members can talk.
"""

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

JSON, NDJSON, CSV, SQLITE, SSE, TEXT = (
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.sqlite3",
    "text/event-stream",
    "text/plain",
)
KIB, MIB = 1024, 1024 * 1024

#: Whom a token stands for.
Role = Literal["operator", "viewer", "node", "central"]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An ask without parameters."""


AskT = TypeVar("AskT", bound=msgspec.Struct)
ReplyT = TypeVar("ReplyT")


@dataclass(frozen=True)
class Exchange(Generic[AskT, ReplyT]):
    """One pair of request and reply.

    `takes` and `gives` are media types, the usual one first; `body_max` and `reply_max` are bytes;
    `body` is the type of a JSON body that is not the ask; `refusals` are the codes that a caller
    must expect besides those that every exchange has; `following` are the parameters with which to
    ask for what follows, each with the member of the reply that it is; `also` are roles that may
    ask besides those that the method lets in.
    """

    summary: str
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    ask: type[AskT]
    reply: type[ReplyT]
    body: Any = None
    status: int = 200
    takes: tuple[str, ...] = (JSON,)
    gives: tuple[str, ...] = (JSON,)
    body_max: int = 64 * KIB
    reply_max: int = 1 * MIB
    public: bool = False
    also: tuple[Role, ...] = ()
    refusals: tuple[str, ...] = ()
    following: tuple[tuple[str, str], ...] = ()

    @property
    def has_body(self) -> bool:
        return self.method in ("POST", "PATCH")

    @property
    def roles(self) -> tuple[Role, ...]:
        """Who may ask: a GET has no effect, so those may who only look."""
        usual: tuple[Role, ...] = ("operator", "central")
        return (*usual, *(("viewer",) if self.method == "GET" else ()), *self.also)

    def url_path(self, ask: AskT) -> str:
        """The path with the ask's values in the place of its parameters."""
        return self.path.format_map(msgspec.structs.asdict(ask))

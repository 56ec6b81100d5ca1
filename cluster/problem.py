"""Refusals: the one way in which a service says no (RFC 9457, `application/problem+json`).

A `Refusal` is raised anywhere, crosses the wire as a `Problem`, and comes out on the other side
inside `PeerFailed`. Each code has one status and one title; the detail says what to do.
"""

from typing import Any

import msgspec

MEDIA_TYPE = "application/problem+json"

#: code -> (HTTP status, title). The list is closed: clients may switch on it.
CODES: dict[str, tuple[int, str]] = {
    "bad_json": (400, "The body is not the JSON that was expected"),
    "bad_page": (400, "The body is not a page of records"),
    "bad_request": (400, "The request is not valid HTTP"),
    "unauthorized": (401, "A valid token is needed"),
    "forbidden": (403, "This token may not do that"),
    "foreign_origin": (403, "A page of another site asks"),
    "not_found": (404, "There is nothing at this path"),
    "unknown_node": (404, "No node of this name"),
    "unknown_run": (404, "No run of this id"),
    "unknown_member": (404, "No member of this name on this machine"),
    "method_not_allowed": (405, "This path does not take this method"),
    "not_acceptable": (406, "No such representation"),
    "too_slow": (408, "The request did not come in time"),
    "epoch_changed": (409, "The node's database is another one than you think"),
    "name_taken": (409, "Another node of this name is there"),
    "node_removed": (409, "An operator removed this node"),
    "status_old": (409, "Too much was stored since that position"),
    "no_source": (409, "This node has no source of its own"),
    "no_time_server": (409, "This node follows no time server"),
    "run_ended": (409, "The run has already ended"),
    "member_gone": (409, "The member was given up or is being stopped"),
    "not_running": (409, "The member has no process at this moment"),
    "nodes_only": (409, "This can be done to nodes only"),
    "too_large": (413, "The body is too large"),
    "unsupported_type": (415, "No such body type here"),
    "foreign_host": (421, "This service has another name"),
    "bad_value": (422, "A value is wrong"),
    "rows_rejected": (422, "No row could be taken"),
    "too_many_requests": (429, "Too many requests"),
    "internal": (500, "A bug in this service"),
    "node_unreachable": (502, "The node gave no usable answer"),
    "time_unreachable": (502, "No time server gave a usable answer"),
    "busy": (503, "Too much work is waiting"),
    "storage_failed": (503, "The database could not store this"),
    "not_ready": (503, "The service cannot work yet"),
}


class Rejected(msgspec.Struct, frozen=True):
    """One row that was not taken: its index in the request (from 0), why, and what to mend."""

    index: int
    code: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every error answer."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    code: str = "internal"
    detail: str = ""
    retry_after_s: int | None = None
    received: int | None = None
    inserted: int | None = None
    duplicate: int | None = None
    conflict: int | None = None
    rejected: list[Rejected] | None = None


class Refusal(Exception):
    """An expected no, to be sent to whoever asked. Never a bug."""

    def __init__(self, code: str, detail: str, **members: Any) -> None:
        super().__init__(f"{code}: {detail}")
        status, title = CODES[code]
        self.problem = Problem(
            type=f"urn:tidehold:problem:{code}",
            title=title,
            status=status,
            code=code,
            detail=detail,
            **members,
        )

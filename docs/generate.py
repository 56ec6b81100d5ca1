"""Writes docs/protocol.md, settings.md and faults.md, and the keys of console.md, from the code.

tests/test_docs.py fails when the files in the repository are not what this would write.
"""

from pathlib import Path

from central.settings import CentralSettings
from cluster.local.settings import ClusterSettings
from cluster.problem import Problem
from cluster.protocol import central, local, node
from cluster.protocol.shared import Row
from cluster.protocol.views import Delta
from cluster.reference import (
    document,
    exchanges_section,
    grouped,
    messages_section,
    problems_section,
    settings_section,
)
from console.keymap import ALL, COMMANDS, Group
from console.settings import ConsoleSettings
from console.web.settings import WebSettings
from docs.fault_table import fault_table
from node.settings import NodeSettings

FOLDER = Path(__file__).parent

PROTOCOL = """\
# Protocol

Written by `make docs` from cluster/protocol; do not edit. The same is served as OpenAPI 3.1 at
`/openapi.json` of each service.

Every request carries `Authorization: Bearer TOKEN`; only `/healthz` does without. The token stands
for a role: an operator may do everything, a viewer may `GET`, which never has an effect, central
may ask a node everything, a node may only say hello to central. More is `forbidden`. Ten wrong
tokens of one address in a minute, and nobody new is let in from there (`too_many_requests`).
Requests that a page of another site has made are refused: by their `Origin` (`foreign_origin`)
and, without TLS, by a `Host` that is not this machine (`foreign_host`).
Values stand in the path, in the query (`GET`, `DELETE`) or in a JSON body (`POST`, `PATCH`), each
in one place only; unknown and ill-typed ones are refused. Bodies are sent without
`Content-Encoding` or, where it helps, as `zstd`; answers come so where the request says
`Accept-Encoding: zstd`. Messages may gain fields: ignore those you do not know.

Times are integers: microseconds since 1970-01-01 UTC. Durations say their unit (`_ms`, `_s`).
Digests and hashes are 16 hex digits.

The [workbench](#workbench) is served by `run_cluster.py` only, for the members that it started.

## Refusals

Every error is `application/problem+json` (RFC 9457), a [Problem](#problem) with a stable `code`.
Any exchange may answer `bad_request`, `unauthorized`, `forbidden`, `foreign_origin`, `too_slow`,
`foreign_host`, `bad_value`, `too_many_requests`, `internal`, `busy`, `storage_failed` and
`not_ready`; one with a body also `bad_json`, `unsupported_type` and `too_large`. A header may take
10 seconds, a body 30, and an answer of which nothing is taken for 30 is given up. At most 1,024
connections are open, 64 of one address; the longest idle make room for new ones.
Wait `retry_after_s` seconds where it is given. After `storage_failed`, or without an answer, the
outcome is unknown: send the same again, it is stored once.

## Rows

`POST /v1/records` of a node takes NDJSON (one [Row](#row) a line), a JSON array of rows, or one
row. A row without `id` is a new record. One with `id` and `ts` is stored unless it is there: the
same content again is a `duplicate`, another content under the same id a `conflict`, which is kept
out. Good rows are stored whatever the others are. `rejected` and `conflicts` name rows by their
index in the request, from 0, blank lines not counted. When no row could be taken the answer is
`rows_rejected` with the same list. Everything acknowledged is on disk. What a `GET` of records
gave can be posted back as it is. At most 10,000 rows a request; a payload has at most 65,536 bytes
and 32 levels, and is kept byte for byte, but for line breaks between its tokens, which become
spaces.

## Pages

`GET /v1/records` answers with records in the order of their positions. Go on with `after=next`
while `more` is true; positions grow without gaps, as long as nobody deletes rows by hand. NDJSON
and CSV carry the same in the headers `Tidehold-Next`, `Tidehold-More` and `Tidehold-Epoch`. A
position means nothing without its epoch: give `epoch=` to be told when the database has become
another one.

## Live

`GET /v1/stream` is `text/event-stream`: one `snapshot` event ([Snapshot](#snapshot)), then a
`delta` event ([Delta](#delta)) for each change. Every five seconds one also carries central's
`status`, even when nothing changed: after a longer silence the line is dead. The id of an event
is the last journal line that you have; send it as `Last-Event-ID` to go on after it.
"""

SETTINGS = """\
# Settings

Written by `make docs` from the settings of each program; do not edit.

Defaults < TOML file (`--config FILE`, keys as the flags with `_` for `-`) < environment < flags.
Lists are repeated flags, TOML arrays, or separated by commas in the environment. Whatever is
wrong is named by where it was written. `--help` shows the same.

The token comes from `TIDEHOLD_TOKEN` or `--token-file FILE` (mode 0600): 16 or more printable
ASCII characters; `openssl rand -hex 32` makes one. It is never a flag. A service may have others
of those who may only look, from `TIDEHOLD_VIEWER_TOKEN` or `--viewer-token-file FILE`; a
viewer gives it to the console as the token. `--node-token-file` and `--central-token-file` part
what nodes bring to central from what central brings to nodes.

A token file has a token a line, with `node=NAME` where it is one node's and `until=TIME` where it
ends; the first that holds is brought to others, all are let in, and a changed file is taken up
within a second or two ([operations](operations.md#tokens)). `sha256:HEX` in a token's place lets
it in without telling it.
"""

EXIT_CODES = """\
## Exit codes

| code | meaning | does restarting help? |
| --- | --- | --- |
| 0 | stopped as asked (SIGTERM, SIGINT) | |
| 1 | run_cluster.py only: a program could not be kept alive, or sets are not equal | perhaps |
| 2 | a wrong setting, no token, or a taken port; one line on standard error says which | no |
| 70 | a bug, or a parent that died; the traceback is in DATA/logs | perhaps |
| 78 | a data folder or database that cannot be used; one line says why | no |
| 130 | run_cluster.py only: a second Ctrl-C ended it at once | |
"""


GROUPS: dict[Group, str] = {
    "Go": "Places",
    "Replicate": "Replication",
    "Node": "Nodes",
    "Look": "Looking",
    "Break": "Breaking it",
}
KEYS_BEGIN, KEYS_END = "<!-- keys: written by `make docs` from console/keymap.py -->", "<!-- end"


def with_keys(text: str) -> str:
    """The text with the key table between its marks."""
    before, _, rest = text.partition(KEYS_BEGIN)
    _, end, after = rest.partition(KEYS_END)
    return f"{before}{KEYS_BEGIN}\n{key_table()}{end}{after}"


def key_table() -> str:
    """Every command, by what it is for."""
    lines = ["| key | command | does | where |", "| --- | --- | --- | --- |"]
    for group, title in GROUPS.items():
        lines.append(f"| | **{title}** | | |")
        for command in (one for one in COMMANDS if one.group == group):
            where = "everywhere" if command.places == ALL else ", ".join(command.places)
            shown = " ".join(f"`{key}`" for key in command.shown.split())
            lines.append(f"| {shown} | {command.word} | {command.does} | {where} |")
    return "\n".join(lines) + "\n"


def documents() -> dict[str, str]:
    """Each file's name with its text."""
    services = {"Node": node.EXCHANGES, "Central": central.EXCHANGES}
    programs = (
        ("node", "python -m node", NodeSettings),
        ("central", "python -m central", CentralSettings),
        ("console", "python -m console", ConsoleSettings),
        ("web", "python -m console.web", WebSettings),
        ("cluster", "python run_cluster.py", ClusterSettings),
    )
    return {
        "protocol.md": document(
            PROTOCOL.splitlines(),
            [""],
            *(exchanges_section(title, own) for title, own in grouped(services).items()),
            exchanges_section("Workbench", local.EXCHANGES),
            messages_section(
                (*node.EXCHANGES, *central.EXCHANGES, *local.EXCHANGES), (Row, Problem, Delta)
            ),
            problems_section(),
        ),
        "faults.md": fault_table(),
        "console.md": with_keys((FOLDER / "console.md").read_text(encoding="utf-8")),
        "settings.md": document(
            SETTINGS.splitlines(),
            [""],
            *(settings_section(*program) for program in programs),
            EXIT_CODES.splitlines(),
        ),
    }


if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

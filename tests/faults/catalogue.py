"""The faults that Tidehold is held to, by number: what happens, and what is asked for.

A test shows one with `@pytest.mark.fault(NUMBER)`; docs/faults.md is written from both. The numbers
are for ever: a fault that is no longer one leaves its number unused.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """Told in two halves of a sentence."""

    happens: str
    wanted: str


CATALOGUE: dict[str, dict[int, Fault]] = {
    "Network": {
        1: Fault("a node's port is closed", "missed as `refused`, polled on"),
        2: Fault("packets to a node vanish", "missed as `connect_timeout`, on its deadline"),
        3: Fault("a node accepts and is silent", "missed as `timeout`"),
        4: Fault("a node sends a header, then nothing", "missed as `timeout`"),
        5: Fault("a node sends a byte a second", "missed as `timeout`, on its deadline"),
        6: Fault("the line breaks within a body", "missed as `reset`"),
        7: Fault("a body is shorter than announced", "missed, nothing of it is believed"),
        8: Fault("something answers that is not HTTP", "missed as `bad_http`"),
        9: Fault("a node answers 500, or 503 with Retry-After", "its wish is kept, up to a cap"),
        10: Fault("a node refuses central's token", "missed as `auth`, asked less often"),
        11: Fault("all nodes vanish at once", "one event; no node is blamed; no rush after it"),
        12: Fault("a node flaps at every poll", "few events, one word: `flapping`"),
        13: Fault("central stands still for seconds", "no node is called down for it"),
        14: Fault("central's database is locked or slow", "polls go on, no node is blamed"),
        15: Fault("a node returns with a long backlog", "all of it once, others on time"),
        16: Fault("a node restarts within a page, or from a backup", "noticed and healed"),
        17: Fault("another node answers at the address", "missed as `wrong_node`"),
        18: Fault("pages come twice or out of order", "each record once"),
        19: Fault("a node is removed or moved while polled", "no trace of the old one"),
        20: Fault("1,000 nodes, 200 of them sick", "the others are polled on time"),
        21: Fault("an answer is too large, or endless", "cut at the cap, missed"),
        22: Fault("an answer is a bomb, or packed unknown", "refused, memory bounded"),
        23: Fault("a node redirects central", "not followed, no token sent"),
        24: Fault("JSON that is broken, deep, or not of the contract", "missed, nothing stored"),
    },
    "Requests": {
        25: Fault("a header comes by the byte", "cut after ten seconds"),
        26: Fault("a body comes by the byte", "cut after its deadline"),
        27: Fault("2,000 idle connections", "whoever asks is served"),
        28: Fault("5,000 requests sent without waiting", "answered in order, memory bounded"),
        29: Fault("a body over the cap, announced or not", "413 before it is read"),
        30: Fault("a body that unpacks to a mountain", "refused within the cap"),
        31: Fault("another content type, bad UTF-8", "415 or 400, as documented"),
        32: Fault("JSON values as in 24", "400, never 500"),
        33: Fault("two lengths, two hosts, bare line feeds", "refused and closed"),
        34: Fault("unknown routes, odd and long paths", "404, 405 or 400"),
        35: Fault("limits and cursors that are nonsense", "400 with the field's name"),
        36: Fault("a client leaves in the middle", "nothing leaks; a commit decides"),
        37: Fault("the same rows are sent again", "the same answer, stored once"),
        38: Fault("20,000 requests made from the OpenAPI document", "0 that break it"),
        39: Fault("2,000 stories of two sides against a model", "both as the model says"),
    },
    "Processes": {
        40: Fault("kill -9 anywhere under load", "nothing lost, nothing twice"),
        41: Fault("SIGTERM under load", "answers given, queue written, exit 0"),
        42: Fault("a crash in any part", "the service ends at once, loudly"),
        43: Fault("no file descriptor is left", "sheds, then recovers"),
        44: Fault("kill -9 of who started them", "no process is left behind"),
        45: Fault("the port is taken", "one line, exit 2"),
        46: Fault("a second start on the same folder", "refused, the first goes on"),
        47: Fault("a lock from before a power cut", "no hindrance"),
        48: Fault("wrong settings, older and newer files", "older moved on, else one line"),
        49: Fault("1,000 nodes in 256 MiB", "enough"),
    },
    "Time": {
        50: Fault("the wall clock jumps", "polls keep their pace"),
        51: Fault("a node's clock is minutes off", "said, its records kept"),
        52: Fault("the machine sleeps", "one round of polls after it, not hundreds"),
        53: Fault("odd and far times in records", "taken or refused, never a crash"),
        54: Fault("central's own loop is late", "`internal`, no node is blamed"),
    },
    "Console": {
        55: Fault("central goes away and comes back", "said at once, then live again"),
        56: Fault("markup in every field", "shown as the text that it is"),
        57: Fault("escapes, bidi, wide and endless text", "every line as wide as the screen"),
        58: Fault("tiny and huge terminals, resize storms", "drawn at every size"),
        59: Fault("10,000 journal lines a second", "the newest in sight, keys answered"),
        60: Fault("hostile text in an export", "no cell is a formula, bytes kept"),
    },
    "Security": {
        61: Fault("every exchange with a wrong token or role", "401 or 403, no effect"),
        62: Fault("plain HTTP for the world", "the start is refused"),
        63: Fault("tokens are guessed by timing or number", "no trend; shut out after ten"),
        64: Fault("a token file that others can read", "the start is refused"),
        65: Fault("tokens change under load", "no poll fails"),
        66: Fault("certificates that are wrong in any way", "missed as `tls`"),
        67: Fault("a command is replayed", "refused"),
        68: Fault("one node speaks for another", "403"),
        69: Fault("an address that leads inside", "never dialled"),
        70: Fault("SQL and paths in names", "a name that is refused, or a value"),
        71: Fault("secrets in anything that is written", "found nowhere"),
        72: Fault("file modes", "nobody else can read"),
        73: Fault("a page of another site asks", "403"),
        74: Fault("the journal is edited afterwards", "`verify` finds the line"),
    },
    "Storage": {
        75: Fault("a power cut at any moment", "what was acknowledged is there"),
        76: Fault("the disk fails in a call", "503, nothing acknowledged in vain"),
        77: Fault("the disk is full", "reads go on; writes again when there is room"),
        78: Fault("the disk takes seconds", "polls on time, writers told to wait"),
        79: Fault("the file is damaged, foreign or gone", "repaired, or refused in one line"),
        80: Fault(
            "a bit of a payload flips", "`verify` names it; a page of up to 1,000 rows keeps it out"
        ),
        81: Fault("a backup while all is written", "whole, and restorable"),
        82: Fault("somebody reads for a minute", "the log beside the file stays small"),
        83: Fault("another process holds the file", "waited for, then said"),
        84: Fault("an SQLite with a known error", "never in its way: one writer"),
        85: Fault("a day without a break", "no memory, no descriptor lost"),
    },
}

#: What is not survived as it stands above, and why.
NOT_SURVIVED: dict[int, str] = {
    67: "Commands carry neither an id nor an expiry. Over TLS nothing can be replayed. Over plain "
    "HTTP, for loopback only, whoever has a request to replay has its token as well, and need not "
    "replay anything. A pull or push that is asked for twice moves nothing the second time.",
}

#: No test yet, and no reason.
OPEN: frozenset[int] = frozenset()


def numbers() -> list[int]:
    """All of them."""
    return [number for faults in CATALOGUE.values() for number in faults]

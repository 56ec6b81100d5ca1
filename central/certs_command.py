"""`python -m central certs FOLDER NAME[=HOST,...] ...`: certificates for the members of a cluster.

The folder gets an authority, ca.crt and ca.key, and NAME.crt and NAME.key for each member; a later
call goes on with the same authority.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.record import NAME_PATTERN
from cluster.trust.certs import CA_DAYS, HOST_PATTERN, make_certs

HERE = ("localhost", "127.0.0.1", "::1")
HINT = """\
start a member with --tls-cert {0}/NAME.crt --tls-key {0}/NAME.key --tls-ca {0}/ca.crt
{0}/ca.key makes certificates that every member believes: keep it away from all of them"""


def certs_command(args: Sequence[str]) -> int:
    """Make them, tell where they are; the exit code: 0 made, 1 not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m central certs",
        description="Make certificates for TLS between the members of one cluster.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="made where it is not there")
    parser.add_argument(
        "members",
        nargs="+",
        metavar="NAME[=HOST,...]",
        type=_member,
        help="a member, and the names and addresses at which it is asked; default: its name, and "
        "this machine's own",
    )
    parser.add_argument(
        "--days", type=_days, default=397.0, help="how long the pairs are good; default: 397"
    )
    asked = parser.parse_args(args)
    try:
        made = make_certs(asked.folder, dict(asked.members), days=asked.days)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        print(
            f"central certs: {asked.folder} cannot be used: {why}; give another folder",
            file=sys.stderr,
        )
        return 1
    for path in made:
        print(path)
    print(HINT.format(asked.folder))
    return 0


def _days(text: str) -> float:
    days = float(text)  # argparse tells of a ValueError
    if not 0 < days <= CA_DAYS:
        raise argparse.ArgumentTypeError(f"give more than 0 and at most {CA_DAYS} days")
    return days


def _member(text: str) -> tuple[str, list[str]]:
    name, given, hosts = text.partition("=")
    named = hosts.split(",") if given else [name, *HERE]
    if not re.match(NAME_PATTERN, name) or name == "ca":
        raise argparse.ArgumentTypeError(f"{name!r:.70} is no member's name")
    if wrong := [host for host in named if not re.match(HOST_PATTERN, host)]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r:.70} is no host name or address")
    return name, named

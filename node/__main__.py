"""`python -m node`: one local node.

`python -m node clock HOST ...`: what time servers say. `backup`, `restore`, `repair`: its database.
"""

import os
import sys
from pathlib import Path

from cluster.program import Launch, run_program
from cluster.server import base_url, bind, run
from cluster.settings import load
from cluster.trust.member import check_host, open_trust
from cluster.upkeep import Upkeep
from node.app import build_app
from node.clock_command import clock_command
from node.settings import NodeSettings
from node.store import FILE, SCHEMA, rescue

UPKEEP = Upkeep("node", FILE, SCHEMA, rescue, "push to this node")


def prepare() -> Launch:
    settings = load(NodeSettings, "node", sys.argv[1:], os.environ)
    trust = open_trust("node", settings, os.environ)
    check_host(settings.host, trust.tls)
    listener = bind(settings.host, settings.port)
    tls = trust.tls.serving
    url = base_url(listener, tls)
    app = build_app(settings, trust, url)
    return Launch(
        Path(settings.data),
        settings.name,
        settings.log_level,
        lambda: run(app, listener, f"node {settings.name} listens on {url}", tls),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["clock"]:
        sys.exit(clock_command(sys.argv[2:]))
    if UPKEEP.knows(sys.argv[1:]):
        sys.exit(UPKEEP.run(sys.argv[1:]))
    run_program("node", prepare)

"""`python -m central`: the one central.

`python -m central certs ...`: certificates for TLS. `backup`, `restore`, `repair`: its database.
"""

import os
import sys
from pathlib import Path

from central.app import build_app
from central.settings import CentralSettings
from central.store import FILE, SCHEMA, rescue
from cluster.program import Launch, run_program
from cluster.server import base_url, bind, run
from cluster.settings import load
from cluster.trust.member import check_host, open_trust
from cluster.upkeep import Upkeep

UPKEEP = Upkeep("central", FILE, SCHEMA, rescue, "pull of each node")


def prepare() -> Launch:
    settings = load(CentralSettings, "central", sys.argv[1:], os.environ)
    trust = open_trust("central", settings, os.environ)
    check_host(settings.host, trust.tls)
    listener = bind(settings.host, settings.port)
    tls = trust.tls.serving
    app = build_app(settings, trust)
    return Launch(
        Path(settings.data),
        "central",
        settings.log_level,
        lambda: run(app, listener, f"central listens on {base_url(listener, tls)}", tls),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["certs"]:
        from central.certs_command import certs_command  # else every start would take longer

        sys.exit(certs_command(sys.argv[2:]))
    if UPKEEP.knows(sys.argv[1:]):
        sys.exit(UPKEEP.run(sys.argv[1:]))
    run_program("central", prepare)

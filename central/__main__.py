"""`python -m central`: the one central."""

import os
import sys
from pathlib import Path

from central.app import build_app
from central.settings import CentralSettings
from cluster.program import Launch, run_program
from cluster.server import base_url, bind, run
from cluster.settings import check_host, load
from cluster.token import read_token, read_viewer_token


def prepare() -> Launch:
    settings = load(CentralSettings, "central", sys.argv[1:], os.environ)
    check_host(settings.host)
    secret = read_token(settings.token_file, os.environ)
    viewers = read_viewer_token(settings.viewer_token_file, os.environ, secret)
    listener = bind(settings.host, settings.port)
    app = build_app(settings, secret, viewers)
    return Launch(
        Path(settings.data),
        "central",
        settings.log_level,
        lambda: run(app, listener, f"central listens on {base_url(listener)}"),
    )


if __name__ == "__main__":
    run_program("central", prepare)

"""`python -m node`: one local node. `python -m node clock HOST ...`: what time servers say."""

import os
import sys
from pathlib import Path

from cluster.program import Launch, run_program
from cluster.server import base_url, bind, run
from cluster.settings import check_host, load
from cluster.token import read_token
from node.app import build_app
from node.clock_command import clock_command
from node.settings import NodeSettings


def prepare() -> Launch:
    settings = load(NodeSettings, "node", sys.argv[1:], os.environ)
    check_host(settings.host)
    secret = read_token(settings.token_file, os.environ)
    listener = bind(settings.host, settings.port)
    url = base_url(listener)
    app = build_app(settings, secret, url)
    return Launch(
        Path(settings.data),
        settings.name,
        settings.log_level,
        lambda: run(app, listener, f"node {settings.name} listens on {url}"),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["clock"]:
        sys.exit(clock_command(sys.argv[2:]))
    run_program("node", prepare)

"""`python -m console.web`: the console in a browser on this machine.

It prints an address with a key, once; whoever opens it has the console. Exit codes: 0 stopped as
asked, 1 a bug (traceback on the terminal), 2 a wrong setting, no token, or a taken port.
"""

import asyncio
import logging
import os
import sys

from cluster.lifeline import hold_lifeline
from cluster.logs import Readable
from cluster.server import PortTaken, base_url, bind, run
from cluster.settings import TOKEN_VARIABLE, SettingsWrong, load
from cluster.trust.tokens import read_token
from console.web.app import make_app
from console.web.settings import HOST, WebSettings, make_key, take_key

USAGE = 2


def main() -> int:
    """Serve until somebody ends it; the exit code."""
    hold_lifeline()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(Readable())
    logging.basicConfig(level="INFO", handlers=[terminal])
    try:
        key = take_key(os.environ)
        settings = load(
            WebSettings, "web", sys.argv[1:], os.environ, command="python -m console.web"
        )
        token = read_token(settings.token_file, os.environ)
        listener = bind(HOST, settings.port)
    except (SettingsWrong, PortTaken) as wrong:
        print(f"web: {wrong}", file=sys.stderr)
        return USAGE
    url = base_url(listener)
    if key is None:  # who gave one knows it, and may keep our lines where others can read them
        key = make_key()
        print(f"The console is at {url}/?key={key}", flush=True)
    tls = {"ca": settings.tls_ca, "cert": settings.tls_cert, "key": settings.tls_key}
    argv = [
        *(sys.executable, "-m", "console", f"--central={settings.central}"),
        *(f"--tls-{name}={path}" for name, path in tls.items() if path is not None),
    ]
    app = make_app(key, listener.getsockname()[1], argv, {TOKEN_VARIABLE: token})
    asyncio.run(run(app, listener, f"serving the console of {settings.central} on {url}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

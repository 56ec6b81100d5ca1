"""`python -m console`: the operator's screen.

It needs a terminal. Exit codes: 0 quit as asked, 1 a bug (traceback on the terminal), 2 a wrong
setting, no token or no terminal.
"""

import os
import sys

from textual.constants import DRIVER

from cluster.lifeline import hold_lifeline
from cluster.settings import TOKEN_VARIABLE, SettingsWrong, load
from cluster.token import read_token
from console.app import ConsoleApp
from console.settings import ConsoleSettings

USAGE = 2


def main() -> int:
    """Run until the operator quits; the exit code."""
    hold_lifeline()
    try:
        settings = load(ConsoleSettings, "console", sys.argv[1:], os.environ)
        secret = read_token(settings.token_file, os.environ)
    except SettingsWrong as wrong:
        print(f"console: {wrong}", file=sys.stderr)
        return USAGE
    # Textual draws on standard error; in a browser (console/web) it has a driver for that.
    if not (DRIVER or all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))):
        print("console: a terminal is needed on standard input, output and error", file=sys.stderr)
        return USAGE
    token_from = settings.token_file or f"{TOKEN_VARIABLE} (environment)"
    app = ConsoleApp(settings, secret, token_from=token_from)
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())

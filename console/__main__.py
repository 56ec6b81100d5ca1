"""`python -m console`: the operator's screen, or plain lines after a word such as `status`.

The screen needs a terminal. Exit codes: 0 quit as asked, 1 a bug (traceback on the terminal), 2 a
wrong setting, no token or no terminal. Those of the words are in their --help.
"""

import os
import sys

from cluster.lifeline import hold_lifeline
from cluster.settings import TOKEN_VARIABLE, SettingsWrong, load
from cluster.text import visible
from cluster.trust.member import open_tls
from cluster.trust.tokens import read_token
from console.plain.program import run
from console.plain.words import WORDS
from console.settings import ConsoleSettings

USAGE = 2
SLOW = {"TEXTUAL_COLOR_SYSTEM": "256", "TEXTUAL_FPS": "10"}


def main() -> int:
    """Run until the operator quits, or the word is done; the exit code."""
    _open_streams()
    hold_lifeline()
    argv = sys.argv[1:]
    if argv and argv[0] in WORDS:
        return run(argv[0], argv[1:], os.environ, sys.stdout, sys.stderr)
    if argv and not argv[0].startswith("-"):
        known = ", ".join(WORDS)
        print(f"console: no word {visible(argv[0])!r:.60}; there are {known}", file=sys.stderr)
        return USAGE
    try:
        settings = load(ConsoleSettings, "console", argv, os.environ)
        secret, tls = read_token(settings.token_file, os.environ), open_tls(settings)
    except SettingsWrong as wrong:
        print(f"console: {wrong}", file=sys.stderr)
        return USAGE
    # Textual draws on standard error; in a browser (console/web) it has a driver for that.
    terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if not (terminal or os.environ.get("TEXTUAL_DRIVER")):
        print(
            "console: a terminal is needed on standard input, output and error; for plain lines "
            f"give a word: {', '.join(WORDS)}",
            file=sys.stderr,
        )
        return USAGE
    if settings.slow:
        os.environ.update(SLOW)
    from console.app import ConsoleApp  # Textual reads the environment when it is imported

    token_from = settings.token_file or f"{TOKEN_VARIABLE} (environment)"
    app = ConsoleApp(settings, secret, tls=tls.calling, token_from=token_from, alone=True)
    app.run()
    return app.return_code or 0


def _open_streams() -> None:
    """Where the parent has closed a stream there is none at all, and its number is free to take."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


if __name__ == "__main__":
    sys.exit(main())

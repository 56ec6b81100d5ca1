"""`python -m console WORD ...`: from the words to the exit code."""

import asyncio
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TextIO, cast

from cluster.peer import Peer, PeerFailed, open_session
from cluster.protocol.views import RunKind
from cluster.settings import SettingsWrong, load_beside
from cluster.text import visible
from cluster.trust.member import open_tls
from cluster.trust.tokens import read_token
from console.commands import NOT_REACHED, Commands, explain
from console.plain import journal, moves, nodes, status
from console.plain.fleet import ask_fleet
from console.plain.follower import Follower
from console.plain.keyboard import Unwanted
from console.plain.listener import Refused, listening
from console.plain.page import Page, Unwritable
from console.plain.words import WORDS
from console.settings import ConsoleSettings

FLAGS = ("central", "token_file", "tls_ca", "tls_cert", "tls_key", "ascii")
READING = ("status", "journal")
CHANGING = ("pull", "push", "cancel")
OK, NOT_SO, USAGE, AWAY, INTERRUPTED = 0, 1, 2, 3, 130


def run(
    word: str, argv: Sequence[str], environ: Mapping[str, str], out: TextIO, err: TextIO
) -> int:
    """Do what the word says; the exit code."""
    code, line = OK, ""
    try:
        code = _do(word, argv, environ, out)
    except (SettingsWrong, Unwanted, Refused, PeerFailed) as failed:
        code, line = _explained(failed, word)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # whoever read it has enough
        _forget(out)
    except Unwritable as failed:
        code, line = NOT_SO, str(failed)
        _forget(out)
    if line:
        print(f"console: {visible(line)}", file=err)
    return code


def _forget(out: TextIO) -> None:
    """Else Python itself complains at its end of what it could not write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _do(word: str, argv: Sequence[str], environ: Mapping[str, str], out: TextIO) -> int:
    settings, given = load_beside(
        ConsoleSettings,
        "console",
        argv,
        environ,
        f"python -m console {word}",
        WORDS[word].fill,
        FLAGS,
    )
    if settings.read_only and (word in CHANGING or getattr(given, "verb", "list") != "list"):
        raise Unwanted("this console only looks (read_only is set)")
    token = read_token(settings.token_file, environ)
    page = Page(out, environ, ascii_only=settings.ascii)
    return asyncio.run(_connected(word, settings, token, page, given))


def _explained(failed: Exception, word: str) -> tuple[int, str]:
    """The exit code of a failure that was to be expected, and a line about it."""
    if isinstance(failed, Refused):
        return AWAY, f"not let in: {failed}"
    if isinstance(failed, PeerFailed):
        away = failed.problem is None or failed.reason == "auth"
        return AWAY if away else NOT_SO, _what_failed(failed, word)
    return USAGE, str(failed)


def _what_failed(failed: PeerFailed, word: str) -> str:
    if failed.problem is not None or failed.definite:
        return ": ".join(explain(failed))
    if failed.reason in NOT_REACHED:
        return f"central is not there: {failed}"
    done = "" if word in READING else "; what was asked of it may have been done"
    return f"no answer from central ({failed}){done}"


async def _connected(
    word: str, settings: ConsoleSettings, token: str, page: Page, given: Namespace
) -> int:
    async with open_session(open_tls(settings).calling) as session:
        peer = Peer(session, settings.central, token)
        return await carry_out(word, peer, page, given)


async def carry_out(word: str, peer: Peer, page: Page, given: Namespace) -> int:
    """One word with its arguments."""
    commands = Commands(peer)
    if word == "status":
        return await _status(peer, page, given)
    if word in ("pull", "push"):
        return await _move(cast("RunKind", word), peer, commands, page, given)
    if word == "nodes":
        return await _nodes(peer, commands, page, given)
    if word == "journal":
        return await _journal(peer, commands, page, given)
    page.say((await commands.cancel(given.run)).text)
    return OK


async def _status(peer: Peer, page: Page, given: Namespace) -> int:
    if given.watch:
        async with listening(peer) as listener:
            await status.watch(listener, page, json=given.json)
    return OK if await status.once(peer, page, json=given.json) else NOT_SO


async def _move(kind: RunKind, peer: Peer, commands: Commands, page: Page, given: Namespace) -> int:
    store, views = await moves.asked_for(peer, kind, given.names, all_nodes=given.all)
    question = moves.show_question(kind, views, store, page)
    if given.all and not await moves.is_wanted(question, page, yes=given.yes):
        page.say("nothing was started")
        return NOT_SO
    runs = await moves.start(commands, kind, views, all_nodes=given.all)
    if given.no_wait:
        page.say("runs asked for: " + ", ".join(map(str, sorted(runs))))
        return OK
    try:
        async with asyncio.timeout(given.timeout), listening(peer) as listener:
            return OK if await Follower(listener, peer, page, runs).follow() else NOT_SO
    except TimeoutError:
        page.warn(f"not ended within {given.timeout:g} s; {_goes_on(runs)}")
        return NOT_SO
    except asyncio.CancelledError:  # Ctrl-C
        page.warn(_goes_on(runs))
        raise


def _goes_on(runs: frozenset[int]) -> str:
    which = str(min(runs)) if len(runs) == 1 else "RUN"
    return f"it goes on at central; `python -m console cancel {which}` ends it"


async def _nodes(peer: Peer, commands: Commands, page: Page, given: Namespace) -> int:
    if given.verb == "list":
        nodes.show(await ask_fleet(peer), page)
    elif given.name is None:
        raise Unwanted(f"which node? nodes {given.verb} NAME")
    elif given.verb == "remove":
        return OK if await nodes.remove(commands, page, given.name, yes=given.yes) else NOT_SO
    elif given.url is None:
        raise Unwanted("where? nodes add NAME URL")
    else:
        await nodes.add(commands, page, given.name, given.url, untested=given.untested)
    return OK


async def _journal(peer: Peer, commands: Commands, page: Page, given: Namespace) -> int:
    after = await journal.past(commands, page, given)
    if given.follow:
        async with listening(peer) as listener:
            query = journal.query_of(given)
            await journal.follow(commands, listener, page, query, after, json=given.json)
    return OK

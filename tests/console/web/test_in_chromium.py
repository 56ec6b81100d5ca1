"""What a person has: the console in a real browser, with its keys and its mouse."""

from pathlib import Path

import pytest

from tests.console.conftest import until
from tests.console.fake_central import FakeCentral, view
from tests.console.web.browser import CHROMIUM, chromium
from tests.console.web.conftest import program
from tests.program import until as until_it_is_so

PAINTED_BYTES = 15_000  # an empty page makes a PNG of a third of this

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


async def test_the_console_lives_in_a_browser(fake: FakeCentral, tmp_path: Path) -> None:
    """It shows the fleet, opens help by a key and asks about a pull by a click; all from here."""
    fake.put(view("node-1", data="behind", to_pull=73), view("node-2"))
    async with program(fake.url) as (server, address), chromium(tmp_path) as browser:
        terminal, base = browser.terminal, address.partition("?")[0]
        await browser.visit(address)
        await until(lambda: terminal.shows("node-1", "node-2", "Pull"))
        first = await browser.screenshot()
        assert len(first) > PAINTED_BYTES
        assert await browser.evaluate("location.href") == base

        await browser.press("?")
        await until(lambda: terminal.shows("Esc closes", "DIVERGED"))
        assert await browser.screenshot() != first
        await browser.press("Escape")
        await until(lambda: not terminal.shows("Esc closes"))

        await browser.click("⇣ Pull")
        await until(lambda: terminal.shows("73 records", "Start (y)"))

        server.terminate()
        await server.wait()

        async def told() -> bool:
            said = await browser.evaluate("document.querySelector('.closed').innerText")
            return "The console's server was stopped." in said

        await until_it_is_so(told, "the page says why it stopped")

    own = base, base.replace("http", "ws")
    assert all(asked.startswith(own) for asked in browser.requests), browser.requests
    assert not [words for words in browser.complaints if "WebGL" not in words]

"""A fake central for each test, and a console in front of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from types import MappingProxyType
from typing import Any

import pytest
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot

from cluster.backoff import Backoff
from console.app import ConsoleApp
from console.settings import ConsoleSettings
from tests.console.fake_central import TOKEN, FakeCentral

SMALL, LARGE = (80, 24), (140, 40)
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """Every app has the same stylesheets: to parse them took a tenth of these tests' CPU."""
    parsed: dict[Any, Any] = {}
    parse = Stylesheet._parse_rules

    def look_up(sheet: Stylesheet, *what: Any, **more: Any) -> Any:
        key = (frozenset(sheet._variables.items()), what, tuple(more.items()))
        if key not in parsed:
            parsed[key] = parse(sheet, *what, **more)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", look_up)
        yield


class Steady(Backoff):
    """Waits the same each time: long enough to be seen, short enough for a test."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s, wait_s, Random(1))
        self._wait_s = wait_s

    def next_s(self) -> float:
        return self._wait_s


@pytest.fixture
async def fake() -> AsyncIterator[FakeCentral]:
    central = FakeCentral()
    await central.start()
    yield central
    await central.stop()


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Return when the condition holds; fail when it does not in time."""
    deadline, pause_s = time.monotonic() + within_s, 0.01
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(pause_s)
        pause_s = min(
            0.05, 1.5 * pause_s
        )  # a look at the screen draws it anew, which is half of 10 ms


async def until_seen(app: ConsoleApp, part: str, within_s: float = 10.0) -> None:
    """Return when the screen shows this, in whatever case."""
    await until(lambda: part.lower() in text(app), within_s)


@asynccontextmanager
async def console(
    fake: FakeCentral,
    size: tuple[int, int] = SMALL,
    token: str = TOKEN,
    settings: Mapping[str, Any] = MappingProxyType({}),
    **more: Any,
) -> AsyncIterator[tuple[ConsoleApp, Pilot[None]]]:
    """A console that has shown what the fake central holds."""
    options: dict[str, Any] = {
        "deaf_s": 0,
        "hold_order_s": 0,
        "backoff": Steady(0.6),
    }
    app = ConsoleApp(ConsoleSettings(central=fake.url, **settings), token, **(options | more))
    async with app.run_test(size=size, notifications=True) as pilot:
        if token in (fake.token, fake.viewer_token):
            mark = "|" if settings.get("ascii") else "▌"
            first = mark if fake.nodes else "no nodes yet"
            await until(lambda: first in text(app) and "connecting" not in text(app))
        yield app, pilot


def text(app: ConsoleApp) -> str:
    """All that is on the screen, in lower case lines."""
    return "\n".join(lines(app)).lower()


def lines(app: ConsoleApp) -> list[str]:
    """The screen, line by line, as a person reads it."""
    compositor = app.screen._compositor
    return ["".join(segment.text for segment in strip) for strip in compositor.render_strips()]


def light_of(app: ConsoleApp, part: str) -> int:
    """How bright the first text on the screen that has this part is drawn."""
    for strip in app.screen._compositor.render_strips():
        for text, style, _ in strip:
            if part in text and style is not None and style.color is not None:
                return sum(style.color.get_truecolor())
    raise AssertionError(f"{part!r} is not on the screen")


def row_of(app: ConsoleApp, name: str) -> str:
    """The first line that begins with this name."""
    for line in lines(app):
        if line.lstrip(" ▌•|").startswith(name):
            return line
    return ""


def order(app: ConsoleApp, *names: str) -> list[str]:
    """These names in the order in which the screen shows them."""
    places = {name: text(app).find(f" {name} ") for name in names}
    return sorted((name for name in names if places[name] >= 0), key=lambda name: places[name])

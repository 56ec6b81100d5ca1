"""A fake central with a fleet in every state, to look at the console:
`python -m tests.console.show [PORT]`, then `python -m console --central http://127.0.0.1:PORT`."""

import asyncio
import random
import sys

import msgspec

from cluster.clock.state import ClockSummary
from cluster.protocol.views import Run
from tests.console.fake_central import TOKEN, FakeCentral, now_us, view

CALM = "cdg2 gva1 bud1 mad1 vie1 prg1 ams1 ams2 arn1 ber1 ber2 bru1 cdg1 cph1 dub1 hel1 ist1"


def fleet(fake: FakeCentral) -> None:
    """One node in each state, and many that are well."""
    rng = random.Random(1)
    second = 1_000_000
    bad = ClockSummary(status="SYNC", drift_ms=2410.0, bound_ms=4.0, stratum=3)
    fake.put(
        view(
            "fra2", data="diverged", at_node=938_168, at_central=938_156, to_pull=12, conflicts=12
        ),
        view(
            "otp1",
            "down",
            "unknown",
            at_node=156_087,
            at_central=156_164,
            failures=3,
            next_try=now_us() + 118 * second,
            reason="refused",
            detail="nobody listens there",
        ),
        view(
            "rig1",
            "down",
            "behind",
            at_node=405_045,
            at_central=409_066,
            failures=7,
            next_try=now_us() + 24 * second,
            reason="timeout",
            detail="no answer in time",
        ),
        view("zrh1", clock=bad, at_node=288_215, at_central=288_215),
        view("ath1", "suspect", "behind", at_node=311_047, at_central=311_016, failures=2),
        view("lis1", data="behind", at_node=601_324, at_central=582_902, to_pull=18_422),
        view("muc1", data="behind", at_node=122_824, at_central=122_844, to_push=20),
        view("new-node-with-a-very-long-name-0001", "new", "unknown", at_node=None, to_pull=None),
    )
    for name in CALM.split():
        records = rng.randrange(100_000, 1_010_000)
        behind = rng.choice((0, 0, 0, rng.randrange(1, 900)))
        clock = ClockSummary(status="SYNC", drift_ms=rng.gauss(0, 6), bound_ms=3.0, stratum=3)
        fake.put(
            view(
                name,
                data="behind" if behind else "in_sync",
                at_node=records,
                at_central=records - behind,
                to_pull=behind,
                clock=clock,
                version="0.1.0",
                epoch="0190abcd",
                tidemark=records - behind,
                proven=now_us(),
            )
        )
    for number in range(860, 880):
        ended = now_us() - (880 - number) * 61 * second
        fake.put_run(
            Run(
                id=number,
                node=rng.choice(CALM.split()),
                kind=rng.choice(("pull", "push")),
                mode="incremental",
                state=rng.choice(("succeeded", "succeeded", "failed", "cancelled")),
                asked=ended - 9 * second,
                started=ended - rng.randrange(1, 9) * second,
                ended=ended,
                received=rng.randrange(0, 9_000),
                inserted=rng.randrange(0, 2) * 77,
                conflict=rng.choice((0, 0, 0, 3)),
                error="reset: the connection broke",
            )
        )


async def main(port: int) -> None:
    fake = FakeCentral()
    fake._port = port
    fleet(fake)
    await fake.start()
    pull = Run(
        id=fake._run("pull", "lis1").id,
        node="lis1",
        kind="pull",
        mode="incremental",
        state="running",
        asked=now_us(),
        started=now_us(),
        expected=18_422,
    )
    fake._run("pull", "rig1")
    texts = (
        ("missed poll 2/3 (timeout 2.0s)", "warning", "ath1"),
        ("12 records differ (checksum mismatch)", "error", "fra2"),
        ("up again after 4m12s", "info", "hel1"),
        ("[@click=app.quit]x[/] \x1b[31m 測試 👩‍🚀", "info", None),
    )
    for turn in range(10_000):
        pull = msgspec.structs.replace(pull, received=(pull.received + 301) % 18_422)
        fake.put_run(pull)
        text, level, node = texts[turn % len(texts)]
        if turn % 3 == 0:
            fake.say(text, level=level, node=node)
        fake.send_raw(b": ping\n\n")
        await asyncio.sleep(0.3)


if __name__ == "__main__":
    assert TOKEN
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8199))

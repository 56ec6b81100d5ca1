"""Sources: readings are repeatable where promised, believable, small and always valid JSON."""

import json
import math
import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from statistics import fmean
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.sources import Reading, Source, open_source
from node.sources.host import HostSource
from node.sources.synthetic import (
    DAY_US,
    FAULT_CHANCE,
    HOUR_US,
    SPIKE_CHANCE,
    STUCK_CHANCE,
    STUCK_READINGS,
    SyntheticSource,
)

STREAM = re.compile(r"^[a-z0-9._-]{1,64}$")
MIDNIGHT_US = 1_767_225_600_000_000  # 2026-01-01 00:00 UTC
YEAR_9999_US = 253_402_300_799_000_000
LAP = 5  # streams of either source


def lap(source: Source, ts_us: int) -> dict[str, dict[str, Any]]:
    """Read every stream once."""
    readings = [source.read(ts_us) for _ in range(LAP)]
    return {reading.stream: json.loads(reading.payload) for reading in readings}


def sensed(source: Source, stream: str, count: int) -> Iterator[dict[str, Any]]:
    """Read one stream `count` times, a minute apart."""
    for minute in range(count):
        yield lap(source, MIDNIGHT_US + minute * 60_000_000)[stream]


def assert_fit_to_record(reading: Reading) -> None:
    """The payload is a small JSON object without NaN, the stream a legal name."""
    payload = json.loads(reading.payload, parse_constant=pytest.fail)
    assert isinstance(payload, dict)
    assert 4 <= len(payload) <= 6
    numbers = [each for each in payload.values() if isinstance(each, float)]
    assert all(math.isfinite(number) for number in numbers)
    assert len(reading.payload) < 300
    assert STREAM.match(reading.stream)


def test_the_kind_chooses_the_source() -> None:
    opened = [open_source(kind, "node-1") for kind in ("synthetic", "host", "none")]

    assert [source and source.kind for source in opened] == ["synthetic", "host", None]


def test_the_same_seed_and_times_give_the_same_readings() -> None:
    times = [MIDNIGHT_US + step * 700_000 for step in range(500)]
    one, again = SyntheticSource("node-1"), SyntheticSource("node-1")

    assert [one.read(ts_us) for ts_us in times] == [again.read(ts_us) for ts_us in times]


def test_two_nodes_have_different_weather() -> None:
    one, other = SyntheticSource("node-1"), SyntheticSource("node-2")

    assert lap(one, MIDNIGHT_US) != lap(other, MIDNIGHT_US)


@pytest.mark.parametrize("node", ["node-1", "node-2", "harbour"])
def test_afternoons_are_warm_and_dry_and_nights_cold_and_damp(node: str) -> None:
    source = SyntheticSource(node)
    warmth: dict[int, list[float]] = {3: [], 15: []}
    damp: dict[int, list[float]] = {3: [], 15: []}

    for hour in range(60 * 24):
        seen = lap(source, MIDNIGHT_US + hour * HOUR_US)
        clock = hour % 24
        if clock in warmth and all(each["quality"] == "ok" for each in seen.values()):
            warmth[clock].append(seen["temperature"]["value"])
            damp[clock].append(seen["humidity"]["value"])

    assert fmean(warmth[15]) - fmean(warmth[3]) > 5.0
    assert fmean(damp[3]) - fmean(damp[15]) > 10.0


def test_the_weather_changes_slowly_within_an_hour_and_freely_over_days() -> None:
    """Pressure has hardly a daily curve, so it shows the walk alone."""
    source = SyntheticSource("node-1")

    pressure = [lap(source, MIDNIGHT_US + h * HOUR_US)["pressure"] for h in range(60 * 24)]
    good = [each["value"] if each["quality"] == "ok" else None for each in pressure]
    steps = [abs(b - a) for a, b in pairwise(good) if a is not None and b is not None]
    values = [value for value in good if value is not None]

    assert fmean(steps) < 3.0
    assert max(values) - min(values) > 15.0


def test_sensors_fail_and_spike_as_often_as_promised() -> None:
    source = SyntheticSource("node-1")
    count = 100_000

    payloads = [
        json.loads(source.read(MIDNIGHT_US + step * 1_000_000).payload) for step in range(count)
    ]
    faults = [each for each in payloads if each["quality"] == "fault"]
    spikes = [each for each in payloads if each["quality"] == "suspect"]

    assert all(each["value"] is None for each in faults)
    assert all(each["value"] is not None for each in spikes)
    assert len(faults) / count == pytest.approx(FAULT_CHANCE, rel=0.2)
    assert len(spikes) / count == pytest.approx(SPIKE_CHANCE, rel=0.3)


def test_a_stuck_sensor_repeats_its_value_without_noticing() -> None:
    source = SyntheticSource("node-1")
    count = 20_000

    runs = [
        len(list(run))
        for key, run in groupby(
            (each["value"], each["quality"]) for each in sensed(source, "temperature", count)
        )
        if key[1] == "ok"
    ]

    stuck = [length for length in runs if length >= STUCK_READINGS]
    assert len(stuck) / count == pytest.approx(STUCK_CHANCE, rel=0.8)
    assert max(stuck) < STUCK_READINGS + 3


@settings(deadline=None)
@given(
    seed=st.text(max_size=20),
    times=st.lists(st.integers(min_value=0, max_value=YEAR_9999_US), min_size=1, max_size=30),
)
def test_any_time_in_any_order_gives_a_record(seed: str, times: list[int]) -> None:
    source = SyntheticSource(seed)

    for ts_us in times:
        for _ in range(LAP):
            assert_fit_to_record(source.read(ts_us))


def test_streams_come_in_turn() -> None:
    for source in (SyntheticSource("node-1"), HostSource()):
        streams = [source.read(MIDNIGHT_US).stream for _ in range(2 * LAP)]

        assert len(set(streams)) == LAP
        assert streams[:LAP] == streams[LAP:]


def test_the_first_rates_of_a_host_are_unknown() -> None:
    first = lap(HostSource(), MIDNIGHT_US)

    assert first["network"]["value"] is None
    assert first["disk"]["read_bytes_s"] is None
    assert first["cpu"]["value"] is None


def test_host_readings_are_within_physical_ranges() -> None:
    source = HostSource()
    lap(source, MIDNIGHT_US)

    seen = lap(source, MIDNIGHT_US + 1_000_000)

    for stream in ("cpu", "memory", "disk"):
        value = seen[stream]["value"]
        assert value is None or 0.0 <= value <= 100.0
    assert 0 < seen["memory"]["available_bytes"] <= seen["memory"]["total_bytes"]
    assert seen["disk"]["free_bytes"] > 0
    assert seen["network"]["value"] >= 0.0
    assert seen["load"]["value"] >= 0.0


@settings(deadline=None)
@given(times=st.lists(st.integers(min_value=0, max_value=YEAR_9999_US), min_size=1, max_size=5))
def test_any_time_in_any_order_gives_a_record_of_the_host(times: list[int]) -> None:
    source = HostSource()

    for ts_us in times:
        for _ in range(LAP):
            assert_fit_to_record(source.read(ts_us))


def test_a_platform_that_knows_nothing_gives_nulls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container without disks or on a system without a load average."""

    def unreadable() -> None:
        raise PermissionError("/proc/stat")

    monkeypatch.delattr(psutil, "getloadavg")
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "cpu_times", unreadable)
    source = HostSource()

    for ts_us in (MIDNIGHT_US, MIDNIGHT_US + DAY_US):
        seen = lap(source, ts_us)

        assert seen["load"]["value"] is None
        assert seen["disk"]["write_bytes_s"] is None
        assert seen["cpu"]["value"] is None
        assert seen["memory"]["value"] is not None

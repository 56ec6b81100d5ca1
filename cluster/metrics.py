"""Figures for Prometheus, in its text format."""

from collections.abc import Iterable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cluster.clock.state import ClockState
from cluster.door import TEXTS, Door


class _Once(Collector):
    """Figures that were read just now."""

    def __init__(self, figures: Iterable[Metric]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        yield from self._figures


def metrics_response(figures: Iterable[Metric]) -> web.Response:
    """The answer to GET /metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(figures))
    return web.Response(
        body=generate_latest(registry),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


def door_metrics(door: Door) -> list[Metric]:
    """What was answered, and what was cut before it could be."""
    answers = CounterMetricFamily("tidehold_answers", "Requests answered", labels=["status"])
    for status, count in sorted(door.answers.items()):
        answers.add_metric([str(status)], count)
    cuts = CounterMetricFamily(
        "tidehold_connections_cut", "Connections closed by the service", labels=["reason"]
    )
    for reason in TEXTS:
        cuts.add_metric([reason], door.cuts[reason])
    return [
        GaugeMetricFamily("tidehold_connections", "Connections open", value=door.inside),
        answers,
        cuts,
    ]


def clock_metrics(state: ClockState) -> list[Metric]:
    """The clock's figures; what is not known is left out."""
    known = {
        "drift_seconds": ("System clock minus cluster clock", state.drift_ms, 1000),
        "bound_seconds": ("How far the cluster clock may be off", state.bound_ms, 1000),
        "estimated_error_seconds": ("Three standard deviations", state.est_error_ms, 1000),
        "jitter_seconds": ("Distance of samples from the estimate", state.jitter_ms, 1000),
        "delay_seconds": ("Round trip of the last sample", state.delay_ms, 1000),
        "slew_left_seconds": ("Correction still to come", state.slew_left_ms, 1000),
        "sync_age_seconds": ("Since the last good sample", state.last_sync_age_s, 1),
        "frequency_ratio": ("How fast the oscillator runs", state.freq_ppm, 1e6),
        "stratum": ("Distance from the root, in servers", state.stratum, 1),
    }
    counts = {
        "steps": ("Forward steps of the cluster clock", state.steps),
        "suspends": ("Suspends of the machine", state.suspends),
        "system_steps": ("Steps of the system clock", state.system_steps),
    }
    rejected = CounterMetricFamily(
        "tidehold_clock_rejected", "Polls that brought nothing", labels=["server", "reason"]
    )
    for source in state.sources:
        for reason, count in source.rejected.items():
            rejected.add_metric([source.name, reason], count)
    return [
        *(
            GaugeMetricFamily(f"tidehold_clock_{name}", about, value=value / scale)
            for name, (about, value, scale) in known.items()
            if value is not None
        ),
        *(
            CounterMetricFamily(f"tidehold_clock_{name}", about, value=value)
            for name, (about, value) in counts.items()
        ),
        rejected,
    ]

"""Figures for Prometheus, in its text format."""

from collections.abc import Iterable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cluster.clock.state import ClockState


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


def clock_metrics(state: ClockState) -> list[Metric]:
    """The clock's figures; what is not known is left out."""
    known = {
        "drift": ("System clock minus cluster clock", state.drift_ms),
        "bound": ("How far the cluster clock may be off", state.bound_ms),
    }
    return [
        GaugeMetricFamily(f"tidehold_clock_{name}_seconds", about, value=value / 1000)
        for name, (about, value) in known.items()
        if value is not None
    ]

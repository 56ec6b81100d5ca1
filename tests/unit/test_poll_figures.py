"""How late polls began, in buckets that Prometheus can read."""

from central.poll_figures import PollFigures
from cluster.metrics import metrics_response


def test_lateness_is_counted_in_buckets_and_misses_by_reason() -> None:
    figures = PollFigures()
    for late_s in (0.0, 0.0005, 0.02, 0.02, 3.0):
        figures.began(late_s)
    figures.missed("timeout")

    text = bytes(metrics_response(figures.metrics()).body).decode()  # type: ignore[arg-type]

    assert 'tidehold_poll_lateness_seconds_bucket{le="0.001"} 2.0' in text
    assert 'tidehold_poll_lateness_seconds_bucket{le="0.025"} 4.0' in text
    assert 'tidehold_poll_lateness_seconds_bucket{le="+Inf"} 5.0' in text
    assert 'tidehold_polls_missed_total{reason="timeout"} 1.0' in text
    assert figures.share_within(0.05) == 0.8


def test_before_the_first_poll_nothing_was_late() -> None:
    assert PollFigures().metrics()[0].samples[-2].value == 0

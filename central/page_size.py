"""Page size: how many records to ask for at once, so that a page takes about a second."""

TARGET_S = 1.0
FIRST, LEAST, MOST = 2_000, 1, 20_000
GROWTH_MAX = 4.0


class PageSize:
    """Learns from how long pages took. Kept over the runs of a node."""

    def __init__(self) -> None:
        self.records = FIRST

    def took(self, records: int, seconds: float) -> None:
        """A page of so many records came in so many seconds."""
        if records < self.records // 2:
            return  # the last one of many tells nothing
        factor = min(GROWTH_MAX, TARGET_S / max(seconds, 0.001))
        self.records = int(min(MOST, max(LEAST, self.records * factor)))

    def failed(self) -> None:
        """A page did not come: a smaller one may."""
        self.records = max(LEAST, self.records // 4)

"""How many rows one request to Cassandra takes. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from export.runtime.bundle import Manifest

# 60 rows a request save a sixth of the client's CPU against 30 rows (docs/decisions.md#rows-per-request).
ROWS = 60
# Cassandra refuses a batch above 50 KiB by its default settings. `thalweg doctor` compares the settings.
BYTES = 48 * 1024
# The bytes of the columns besides state and vector, with the lengths of their values, without names.
ROW_OVERHEAD_BYTES = 300

Row = TypeVar("Row")


def row_bytes(manifest: Manifest) -> int:
    """About how many bytes one row of this bundle takes in a batch, without the user's and the last item's names."""
    of_items = 2 * manifest.recent_places + manifest.bought_places
    numbers = manifest.state_width + manifest.representation_width + of_items
    return 4 * numbers + ROW_OVERHEAD_BYTES


def rows_per_request(row_size_bytes: int) -> int:
    """The number of rows of this size in one unlogged batch."""
    return max(1, min(ROWS, BYTES // row_size_bytes))


def divide(rows: Sequence[Row], sizes_bytes: Iterable[int]) -> Iterator[Sequence[Row]]:
    """Unlogged batches of rows of these sizes, in order."""
    start, total = 0, 0
    for at, size in enumerate(sizes_bytes):
        if at > start and (total + size > BYTES or at - start == ROWS):
            yield rows[start:at]
            start, total = at, 0
        total += size
    if rows:
        yield rows[start:]

"""How many rows one request to Cassandra takes. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from export.runtime.bundle import Manifest

# 770-byte rows cost 9.0 us of client CPU each by 30, 7.5 by 53. A batch stays below the 50 KiB at which a Cassandra as
# it comes refuses one (it warns in its log from 5 KiB; `thalweg doctor` compares).
ROWS = 60
BYTES = 40 * 1024
ROW_OVERHEAD_BYTES = 260  # of the columns that are not state or vector, with their lengths, but for names

Row = TypeVar("Row")


def row_bytes(manifest: Manifest) -> int:
    """About how many bytes one row of this bundle takes in a batch, besides its user's and its last item's name."""
    return 4 * (manifest.state_width + manifest.representation_width) + ROW_OVERHEAD_BYTES


def rows_per_request(row_size_bytes: int) -> int:
    """Rows of this size in one unlogged batch."""
    return max(1, min(ROWS, BYTES // row_size_bytes))


def cut(rows: Sequence[Row], sizes_bytes: Iterable[int]) -> Iterator[Sequence[Row]]:
    """Unlogged batches of rows of these sizes, in order."""
    start, total = 0, 0
    for at, size in enumerate(sizes_bytes):
        if at > start and (total + size > BYTES or at - start == ROWS):
            yield rows[start:at]
            start, total = at, 0
        total += size
    if rows:
        yield rows[start:]

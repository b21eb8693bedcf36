"""The division of rows into requests of limited size."""

from hypothesis import given
from hypothesis import strategies as st

from streams.store.protocol.row_batches import BYTES, ROWS, divide, rows_per_request


@given(st.lists(st.integers(100, 2 * BYTES), max_size=300))
def test_requests_hold_each_row_once_in_order_and_have_a_limited_size(sizes: list[int]) -> None:
    requests = list(divide(range(len(sizes)), sizes))
    assert [row for request in requests for row in request] == list(range(len(sizes)))
    for request in requests:
        assert 1 <= len(request) <= ROWS
        assert len(request) == 1 or sum(sizes[row] for row in request) <= BYTES


def test_rows_of_one_size_fill_requests() -> None:
    for size in (100, 772, 1316, 60_000):
        first = next(iter(divide(range(500), [size] * 500)))
        assert len(first) == rows_per_request(size)

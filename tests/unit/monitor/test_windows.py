"""The intervals of time of the windows against plain lists."""

from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.scoring.windows import Windows


@given(st.lists(st.integers(0, 5000), max_size=100).map(sorted), st.integers(1, 50))
def test_intervals_partition_the_events(times: list[int], rolling_events: int) -> None:
    windows = Windows(window_ms=1000, rolling_events=rolling_events)
    ended = []
    for time_ms in [*times, 10**6]:
        if (interval := windows.advance(time_ms)) is not None:
            ended.append((interval[0], interval[1].events))
        windows.open_bucket.add_ranks(1, 1, 1)
    assert ended == [(s, n) for s in range(0, 6000, 1000) if (n := sum(s <= t < s + 1000 for t in times))]

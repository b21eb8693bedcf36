"""The intervals of time of the windows against plain lists."""

from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.scoring.windows import HOUR_MS, STEP_MS, Windows


@given(st.lists(st.integers(0, 5000), max_size=100).map(sorted), st.integers(1, 50))
def test_intervals_partition_the_events(times: list[int], rolling_events: int) -> None:
    windows = Windows(window_ms=1000, rolling_events=rolling_events)
    ended = []
    for time_ms in [*times, 10**6]:
        if (interval := windows.advance(time_ms)) is not None:
            ended.append((interval[0], interval[1].events))
        windows.open_bucket.add_ranks(1, 1, 1)
    assert ended == [(s, n) for s in range(0, 6000, 1000) if (n := sum(s <= t < s + 1000 for t in times))]


@given(st.lists(st.integers(0, 3 * HOUR_MS), max_size=40).map(sorted))
def test_the_hour_holds_the_events_of_the_last_hour_to_a_step(times: list[int]) -> None:
    windows = Windows(window_ms=1000, rolling_events=20)
    for time_ms in times:
        windows.advance(time_ms)
        windows.open_bucket.add_ranks(1, 1, 1)
        windows.open_parts.slices["action=view"].add(1, 2, 1.0)
    end_ms = times[-1] if times else 0
    windows.advance(end_ms + 1000)
    counts, parts = windows.hour()
    last_step_ms = end_ms - end_ms % STEP_MS
    expected = sum(time_ms - time_ms % 1000 >= last_step_ms + STEP_MS - HOUR_MS for time_ms in times)
    assert counts.events == expected
    assert parts.slices["action=view"].events == expected

"""Which representation is as old as a lag says."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from streams.monitor.frozen.users import LAGS, FrozenUsers, Query

PRIOR = np.zeros(2, np.float32)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def query(value: float) -> Query:
    return np.full(2, value, np.float32)


@example(times=[0, 7_200_000, 7_200_001], wait_ms=DAY_MS - 1)  # the query of the second event gave way to the third
@given(st.lists(st.integers(0, 3 * DAY_MS), min_size=1, max_size=60).map(sorted), st.integers(0, DAY_MS))
def test_a_frozen_query_is_at_least_as_old_as_the_lag_and_at_most_a_step_older(times: list[int], wait_ms: int) -> None:
    users = FrozenUsers(PRIOR)
    users.begin("u", times[0])
    for time_ms in times:
        users.update("u", time_ms, query(time_ms))
    now_ms = times[-1] + wait_ms
    for lag, found in zip(LAGS, users.frozen("u", now_ms), strict=True):
        old_enough = [time_ms for time_ms in times if time_ms <= now_ms - lag.age_ms]
        assert found is not None
        if found is PRIOR:
            assert times[0] > now_ms - lag.age_ms - lag.step_ms
        else:
            kept = [time_ms for time_ms in old_enough if np.array_equal(query(time_ms), found)]
            assert kept, "the query is one that was old enough"
            next_ms = next((time_ms for time_ms in times if time_ms > kept[-1]), now_ms + 1)
            assert next_ms > now_ms - lag.age_ms - lag.step_ms, "the user still had the query a step before the lag"
    live = users.live("u")
    assert live is not None
    assert np.array_equal(live, query(times[-1]))


def test_a_user_whose_past_is_not_known_has_no_frozen_query() -> None:
    users = FrozenUsers(PRIOR)
    users.update("u", 10 * DAY_MS, query(1))
    assert users.frozen("u", 10 * DAY_MS + 1) == [None, None]
    hour, day = users.frozen("u", 10 * DAY_MS + HOUR_MS)
    assert hour is not None
    assert day is None
    assert users.frozen("other", 0) == [None, None]


def test_an_erased_user_is_forgotten_and_the_memory_is_bounded() -> None:
    users = FrozenUsers(PRIOR, max_users=3)
    users.update("u", 0, query(1))
    users.forget("u")
    assert users.live("u") is None
    for number in range(5):
        users.update(f"u-{number}", number, query(number))
    assert [number for number in range(5) if users.live(f"u-{number}") is not None] == [2, 3, 4]
    for number in range(1_000):
        users.update("u-4", number * 60_000, query(number))
    history = users._users["u-4"].history
    assert [len(each) for each in history] == [7, 17], "the steps of an hour; all hours since the first update"

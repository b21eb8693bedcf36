"""Random histories of few users, with repeats, erasures, records of several events, and records of no user."""

import msgspec
from hypothesis import strategies as st

from encoder.data.events import BehaviorEvent
from streams.engine.codec import Erasure, Outcome, Rejected, Several, Skipped

Log = list[Outcome]


def event(user: str, item: str, number: int, time_ms: int, action: str) -> BehaviorEvent:
    return BehaviorEvent(event_id=f"e{number}", user_id=user, item_id=item, action=action, event_time_ms=time_ms)


def timestamp_ms(offset: int) -> int:
    """The timestamp of the record at an offset. Timestamps go back too."""
    return 10**12 + 1_000 * offset + 7_919 * offset * offset % 6_000


limits = st.sampled_from([None, None, 2_000, 9_000])  # how long users may stay away, where some stay away for longer
PAGE = Skipped("action", "page")
users = st.sampled_from(["a", "b", "c", "d", "e"])
single = st.builds(
    event,
    users,
    st.sampled_from(["i1", "i2", "i3", "unknown"]),
    st.integers(0, 30),  # few ids, so that some occur twice
    st.integers(0, 10**6),  # times go back too
    st.sampled_from(["view", "purchase", "wave"]),
)


def several(user: str, events: list[BehaviorEvent]) -> Several:
    own = tuple(msgspec.structs.replace(one, user_id=user) for one in events)
    return Several(own[0].event_id, user, own)


outcomes = st.one_of(
    single,
    single,
    single,
    st.builds(several, users, st.lists(single, min_size=2, max_size=4)),
    st.builds(Erasure, users),
    st.just(Rejected("no JSON", "value")),
    st.just(PAGE),
)

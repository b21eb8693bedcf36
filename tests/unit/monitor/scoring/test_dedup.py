"""Deduplication by source position against a plain set of ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.scoring.dedup import SeenPositions

offsets = st.integers(0, 100) | st.integers(32_760, 32_780) | st.integers(0, 2**62)
topics = st.sampled_from(["t", "with-dashes-1"])
older_ids = st.builds("{}-{}-{}".format, topics, st.integers(0, 2), offsets)
ids = st.builds("{}-{}-{}-{}".format, topics, st.integers(0, 1), st.integers(0, 2), offsets) | older_ids


@given(st.lists(ids, max_size=200))
def test_equals_a_set(event_ids: list[str]) -> None:
    seen = SeenPositions()
    expected: set[str] = set()
    for event_id in event_ids:
        assert seen.add(event_id) is (event_id not in expected)
        expected.add(event_id)


def test_late_smaller_offsets_are_new_and_bits_do_not_change_their_neighbours() -> None:
    seen = SeenPositions()
    assert all(seen.add(f"t-0-0-{offset}") for offset in range(70_000, -1, -7))
    for offset in range(70_001):
        assert seen.add(f"t-0-0-{offset}") is (offset % 7 != 0)


@pytest.mark.parametrize(
    "event_id", ["", "5", "-5", "t-0-", "t-0-x", "t-0-1_0", "t-0- 1", "t-0-٣", "t-0-1.", "t-0-1.x", "t-0-.1", "1.1"]
)
def test_an_id_of_another_form_is_refused_by_name(event_id: str) -> None:
    with pytest.raises(ValueError, match="is not <topic>-<epoch>-<partition>-<offset>"):
        SeenPositions().add(event_id)


def test_each_event_of_a_record_has_its_own_place() -> None:
    seen = SeenPositions()
    names = [f"t-0-0-{offset}{line}" for offset in (5, 6) for line in ("", ".1", ".2", ".12")]
    assert all(map(seen.add, names))
    assert not any(map(seen.add, names))

"""Which of the published comparisons of two bundles `thalweg promote` takes."""

from typing import Any

import msgspec
import pytest

from streams.commands.bundles.comparison import later_way
from streams.contracts.comparisons import BundleComparison, ComparedEvents, comparison_key

OLD, NEW = "gru-0f3a5c7e9b1d", "gru-aaaaaaaaaaaa"


def comparison(champion: str, challenger: str, **changed: Any) -> BundleComparison:
    """The challenger of this comparison is better."""
    counted: dict[str, Any] = {"user_blocks": 900, "events": 4_000, "mean_difference": 0.012, "low": 0.002}
    counted |= {"high": 0.022, "champion_mean": 0.2, "challenger_mean": 0.212}
    fields: dict[str, Any] = {"champion": champion, "challenger": challenger, "users": 800, "open_events": 7}
    fields |= {"unmatched_events": 5, "challenger_delay_ms": 9.0}
    fields |= {
        "champion_unknown_items": 3,
        "challenger_unknown_items": 1,
        "slices": {"cart": ComparedEvents(**counted)},
    }
    fields |= {"first_time_ms": 1, "last_time_ms": 2, "last_scored_at_ms": 50, "published_at_ms": 100}
    return BundleComparison(**(counted | fields | changed))


def values(*found: BundleComparison) -> dict[bytes, bytes]:
    return {comparison_key(one.champion, one.challenger).encode(): msgspec.json.encode(one) for one in found}


def test_a_pair_that_stands_the_other_way_round_is_reversed() -> None:
    published = comparison(NEW, OLD)
    found = later_way(values(published), OLD, NEW)
    assert found is not None
    assert (found.champion, found.challenger) == (OLD, NEW)
    for part in (found, found.slices["cart"]):
        assert (part.mean_difference, part.low, part.high) == (-0.012, -0.022, -0.002)
        assert (part.champion_mean, part.challenger_mean, part.events) == (0.212, 0.2, 4_000)
    assert (found.champion_unknown_items, found.challenger_unknown_items, found.challenger_delay_ms) == (1, 3, -9.0)
    assert (found.last_scored_at_ms, found.published_at_ms, found.users) == (50, 100, 800)
    assert found.reversed_sides() == published
    empty = comparison(NEW, OLD, mean_difference=None, champion_mean=None, challenger_mean=None, low=-1.0, high=1.0)
    reverse = empty.reversed_sides()
    assert (reverse.mean_difference, reverse.low, reverse.high) == (None, -1, 1)


@pytest.mark.parametrize(("scored_at_ms", "low"), [(49, 0.002), (51, -0.022), (None, 0.002)])
def test_the_way_with_the_later_event_counts(scored_at_ms: int | None, low: float) -> None:
    other = comparison(NEW, OLD, last_scored_at_ms=scored_at_ms, published_at_ms=999)
    found = later_way(values(comparison(OLD, NEW), other), OLD, NEW)
    assert found is not None
    assert (found.champion, found.low) == (OLD, low)


def test_a_record_that_cannot_be_read_stands_for_none() -> None:
    unreadable = {comparison_key(OLD, NEW).encode(): b"{}"}
    assert later_way(unreadable, OLD, NEW) is None
    assert later_way({}, OLD, NEW) is None
    found = later_way(unreadable | values(comparison(NEW, OLD)), OLD, NEW)
    assert found is not None
    assert found.high == -0.002

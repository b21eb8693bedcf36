"""The comparison of the last events' items with those before."""

import random

from streams.monitor.drift.item_mix import RECENT_EVENTS, ItemMix


def means(items: list[str]) -> list[float]:
    """The mean of the figure over each RECENT_EVENTS events that have one."""
    mix = ItemMix()
    figures = [figure for item in items if (figure := mix.observe(None, item)) is not None]
    return [sum(figures[i : i + RECENT_EVENTS]) / RECENT_EVENTS for i in range(0, len(figures), RECENT_EVENTS)]


def shop(events: int, seed: int) -> list[str]:
    choose = random.Random(seed)
    return [f"item-{int(choose.paretovariate(1.0))}" for _ in range(events)]


def test_the_figure_stays_near_zero_and_rises_with_other_items() -> None:
    before = shop(8 * RECENT_EVENTS, 1)
    promoted = [f"item-{900 + i % 20}" if i % 8 == 0 else item for i, item in enumerate(shop(2 * RECENT_EVENTS, 2))]
    found = means(before + promoted)
    assert max(abs(mean) for mean in found[:6]) < 0.05
    assert found[-1] > 0.1, "an eighth of the events is on twenty items that were rare before"


def test_a_repeated_item_of_a_user_has_no_figure() -> None:
    mix = ItemMix()
    for item in shop(3 * RECENT_EVENTS, 1):
        mix.observe(None, item)
    assert mix.observe("a", "a") is None
    assert mix.observe("a", "item-1") is not None


def test_the_memory_is_bounded_by_the_items() -> None:
    mix = ItemMix()
    mix_events = [mix.observe(None, f"item-{i % 100}") for i in range(3 * RECENT_EVENTS)]
    assert len([figure for figure in mix_events if figure is not None]) == RECENT_EVENTS
    assert len(mix._long_counts) == 100
    assert len(mix._recent) == RECENT_EVENTS

"""The detector of a figure's level: learning, hysteresis, slack, single outliers, and a new level after a week."""

import random

import pytest

from streams.monitor.drift.level import ACCEPT_MS, CAP, LEARN_BLOCKS, Change, Figure, Level

BLOCK_MS = 60_000


def follow(level: Level, values: list[float], start: int = 0, slack: float = 0.0) -> list[tuple[int, Change]]:
    """(block, change) of each alarm that begins or ends."""
    changes = [
        (block, level.observe(Figure(value, 0.0, slack), block * BLOCK_MS)) for block, value in enumerate(values, start)
    ]
    return [(block, change) for block, change in changes if change is not None]


def noise(count: int, mean: float = 1.0, seed: int = 1) -> list[float]:
    choose = random.Random(seed)
    return [choose.gauss(mean, 0.1) for _ in range(count)]


def test_a_fall_fires_within_four_blocks_and_ends_when_the_level_is_back() -> None:
    level = Level(rises=False, falls=True)
    assert follow(level, noise(200)) == []
    assert not level.is_firing
    [(block, fired)] = follow(level, noise(20, 0.6), 200)
    assert 202 <= block <= 203, "three blocks at least"
    assert level.is_firing
    assert fired.state == "firing"
    assert fired.starts_at_ms == block * BLOCK_MS
    assert fired.ends_at_ms is None
    assert fired.expected == pytest.approx(1.0, abs=0.03)
    assert fired.value == pytest.approx(0.6, abs=0.1)

    back = follow(level, noise(60, 1.0, seed=2), 220)
    assert [change.state for _, change in back] == ["resolved"]
    block, resolved = back[0]
    assert resolved.starts_at_ms == fired.starts_at_ms, "both changes belong to one alarm"
    assert resolved.ends_at_ms == block * BLOCK_MS
    assert 221 + 4 <= block <= 221 + 4 * CAP, "the alarm neither ends at once nor never"
    assert resolved.expected == pytest.approx(fired.expected), "the reference does not move while the alarm fires"


def test_a_rise_of_a_figure_that_may_rise_is_no_alarm() -> None:
    level = Level(rises=False, falls=True)
    assert follow(level, noise(100) + noise(100, 1.8)) == []


def test_a_change_within_the_slack_is_no_alarm_however_exact_the_figure_is() -> None:
    level = Level(rises=True, falls=True)
    assert follow(level, [1.0] * 100 + [1.09] * 300, slack=0.1) == []
    level = Level(rises=True, falls=True)
    assert [change.state for _, change in follow(level, [1.0] * 100 + [1.12] * 10, slack=0.1)] == ["firing"]


def test_one_block_is_no_alarm_whatever_its_value() -> None:
    level = Level(rises=True, falls=True)
    values = noise(100)
    values[80] = 1e6
    assert follow(level, values) == []


def test_nothing_fires_while_the_reference_is_learned() -> None:
    level = Level(rises=True, falls=True)
    assert follow(level, noise(LEARN_BLOCKS // 2) + noise(LEARN_BLOCKS // 2, 5.0)) == []
    assert level.reference is not None


def test_values_around_the_border_do_not_make_the_alarm_flap() -> None:
    level = Level(rises=False, falls=True)
    follow(level, noise(200))
    changes = follow(level, [0.6, 0.98] * 200, 200)
    assert len(changes) == 1, "each second block is near the reference"


def test_a_level_that_lasts_a_week_becomes_the_reference() -> None:
    level = Level(rises=True, falls=True)
    follow(level, noise(100))
    changes = [
        change
        for block in range(100, 600)
        if (change := level.observe(Figure(0.5, 0.0, 0.0), block * ACCEPT_MS // 300)) is not None
    ]
    assert [(change.state, change.accepted) for change in changes] == [("firing", False), ("resolved", True)]
    assert level.reference == pytest.approx(0.5)

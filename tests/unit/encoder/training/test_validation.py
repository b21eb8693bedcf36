"""The comparison of a validation with rankings that only count."""

from typing import Any

import numpy as np
import pytest

from encoder.data.event_log import EventLog
from encoder.metrics.baselines import BASELINES
from encoder.training.initialization import FromTrainedModel
from encoder.training.settings import TrainingSettings
from encoder.training.train import train, validate, validate_baselines
from encoder.training.validation import counting_warning
from tests.support.logs import event_log

SMALL = TrainingSettings(width=8, hidden=8, max_epochs=1, min_support=1)
COUNTED = {
    "popularity": {"recall@20": 0.3, "mrr@20": 0.1},
    "last_item": {"recall@20": 0.5, "mrr@20": 0.25},
    "sequential_rules": {"recall@20": 0.6, "mrr@20": 0.2},
}


def steps_log(users: int = 40) -> EventLog:
    """Return a log in which item i + 1 follows item i of 50 items, and most users begin with item 0."""
    rows = [
        (f"u{user:02d}", (user // 3 * 7 + step) % 50, user * 10 + step) for user in range(users) for step in range(10)
    ]
    return event_log([(user, f"i{item:02d}", "view", 1_000 * time) for user, item, time in rows])


def test_baselines_rank_the_validation_events_by_counts_of_the_training_part_alone() -> None:
    log = event_log(
        [
            *((user, item, "view", 0) for user in "abcdefg" for item in "xy"),
            *(("h", item, "view", 1) for item in "zzzz"),
            *(("i", item, "view", 2) for item in "xz"),  # the validation part; x was followed by y alone
        ]
    )
    found = validate_baselines(log, SMALL)
    assert list(found) == list(BASELINES)
    assert {metrics["n"] for metrics in found.values()} == {2}
    # x and y have seven events each, so x ties at rank 2. z has four and ranks third, behind y also after x.
    assert found["popularity"]["mrr@20"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert found["last_item"]["mrr@20"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert found["sequential_rules"]["mrr@20"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_baselines_and_the_model_score_the_same_events() -> None:
    log = steps_log()
    found, validation = validate_baselines(log, SMALL), validate(log, SMALL)
    assert {metrics["n"] for metrics in found.values()} == {validation.epochs[0]["n"]} == {len(validation.ranks)}
    assert found["sequential_rules"]["recall@20"] >= found["last_item"]["recall@20"] > found["popularity"]["recall@20"]


def test_a_continued_training_counts_popularity_in_all_events() -> None:
    older, newer = steps_log(), steps_log(20)
    base = train(older, SMALL)
    start = FromTrainedModel(base.model, base.vocabulary, base.baselines)
    continued, alone = validate_baselines(newer, SMALL, initialization=start), validate_baselines(newer, SMALL)
    assert continued["popularity"] != alone["popularity"]
    assert continued["popularity"]["n"] == alone["popularity"]["n"]


@pytest.mark.parametrize(
    ("recall", "mrr", "parts"),
    [
        (0.7, 0.25, ()),
        (0.589, 0.25, ()),  # within 2% of the recall of sequential rules
        (0.7, 0.2499, ("mrr@20 of 0.2499 is below the 0.2500", "(after the last item)", "--tune")),
        (0.58, 0.3, ("recall@20 of 0.5800 is below the 0.6000", "(sequential rules)", "--tune")),
        (0.1, 0.01, ("mrr@20 of 0.0100 is below the 0.2500", "(after the last item)")),
        (np.nan, np.nan, ()),
    ],
)
def test_a_model_below_counting_is_named_with_both_figures(recall: float, mrr: float, parts: tuple[str, ...]) -> None:
    warning = counting_warning({"recall@20": recall, "mrr@20": mrr}, COUNTED)
    assert (warning is None) == (not parts)
    for part in parts:
        assert part in (warning or "")


@pytest.mark.parametrize(
    ("known", "remedy"),
    [
        ({}, "train a new model on more events, or let --tune MINUTES search for settings"),
        ({"is_searched": True}, "on more events, or give the search for settings (--tune MINUTES) more time"),
        (
            {"lowered_epochs": 2},
            "--max-epochs 2 has ended the training early, so train a new model without this option",
        ),
    ],
)
def test_the_warning_names_a_remedy_that_the_training_has_not_used(known: dict[str, Any], remedy: str) -> None:
    warning = counting_warning({"recall@20": 0.1, "mrr@20": 0.01}, COUNTED, **known)
    assert remedy in (warning or "")
    assert ("--max-epochs" in (warning or "")) == ("lowered_epochs" in known)
    assert ("more time" in (warning or "")) == ("is_searched" in known)

"""The search for settings within a time limit, and what it takes to replace the first settings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.simulator import Shop, describe
from encoder.item_embeddings.embeddings import ItemEmbeddings
from encoder.metrics.ranking import mrr
from encoder.training import tuning
from encoder.training.initialization import FromScratch
from encoder.training.settings import SEARCH_SPACE, TrainingSettings
from encoder.training.train import train_on_all, validate
from encoder.training.tuning import SIGNIFICANCE, Search, tune
from encoder.training.validation import SELECTION_METRIC, Validation, best_epoch

TRIALS = 20


def ticking() -> Callable[[], float]:
    """Return a clock on which each call takes a second. A trial makes one call and its round three."""
    now_s = iter(range(10_000))
    return lambda: float(next(now_s))


def test_the_best_trial_of_a_search_within_the_time_limit_is_the_one_to_confirm() -> None:
    log = Shop(7, 60, 40).simulate(1_500)
    base = TrainingSettings(width=32, hidden=32, max_epochs=1)
    scores: list[tuple[TrainingSettings, float | None, bool]] = []
    search = tune(log, base, 12.0, lambda *trial: scores.append(trial), ticking())
    assert 2 <= len(scores) <= 4
    assert search.trials == len(scores)
    assert scores[0][0] == base
    best = max(scores, key=lambda trial: trial[1] or 0.0)[0]
    assert best == [settings for settings, _, is_best in scores if is_best][-1]
    assert search.confirmation is None if best == base else search.confirmation.settings == best
    assert search.settings in (base, best)
    assert len({settings for settings, _, _ in scores}) == len(scores)
    for tried, _, _ in scores[1:]:
        assert all(
            getattr(tried, name) in SEARCH_SPACE[name]
            for name in SEARCH_SPACE
            if getattr(tried, name) != getattr(base, name)
        )
        assert tried.hidden == tried.width
    again = validate(log, search.settings)
    assert again.epochs == search.validation.epochs
    np.testing.assert_array_equal(again.ranks, search.validation.ranks)
    epochs = again.epochs
    assert mrr(again.ranks, 20) == epochs[best_epoch(epochs)][SELECTION_METRIC]
    assert train_on_all(log, search.settings, search.validation).metrics == epochs[best_epoch(epochs)]


@pytest.fixture(scope="module")
def log() -> EventLog:
    return Shop(7, 40, 400).simulate(8_000)


def searched(
    log: EventLog,
    monkeypatch: pytest.MonkeyPatch,
    ranks_of: Callable[[TrainingSettings, int], NDArray[np.int64]],
) -> tuple[Search, list[Validation]]:
    """Search with TRIALS trials whose ranks are `ranks_of(settings, number of events)`. Returns all validations too."""
    made: list[Validation] = []

    def validated(log: EventLog, settings: TrainingSettings, **_: Any) -> Validation:
        ranks = ranks_of(settings, len(log.split(1 - settings.validation)[1]))
        made.append(Validation([{SELECTION_METRIC: mrr(ranks, 20)}], None, ranks))
        return made[-1]

    monkeypatch.setattr(tuning, "validate", validated)
    return tune(log, TrainingSettings(), 3.0 * TRIALS, clock=ticking()), made


def test_the_luckiest_of_many_equal_settings_does_not_replace_the_first(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All settings have ranks of one distribution, so every gain is chance."""
    searches, replaced, had_a_better_score = 60, 0, 0
    for seed in range(searches):
        generator = np.random.default_rng(seed)
        search, made = searched(log, monkeypatch, lambda _, n, draw=generator: draw.geometric(0.1, n))
        scores = [validation.epochs[0][SELECTION_METRIC] for validation in made]
        assert len(scores) == search.trials >= TRIALS - 2
        had_a_better_score += max(scores) > scores[0]
        is_replaced = search.settings != TrainingSettings()
        assert is_replaced == (search.confirmation is not None and search.confirmation.p <= SIGNIFICANCE)
        replaced += is_replaced
    assert had_a_better_score > 0.8 * searches  # each of these searches would end with other settings by its best score
    assert replaced <= 8  # three are expected, and more than eight have a chance below 1%


def test_settings_that_are_better_for_most_users_replace_the_first(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)

    def ranks_of(settings: TrainingSettings, events: int) -> NDArray[np.int64]:
        return generator.geometric(0.4 if settings.cell == "lstm" else 0.1, events)

    search, made = searched(log, monkeypatch, ranks_of)
    found = search.confirmation
    assert found is not None
    assert found.is_significant
    assert search.settings == found.settings
    assert search.settings.cell == "lstm"
    assert any(search.validation is validation for validation in made)
    assert found.mrr > found.first_mrr + 0.2


def test_the_users_that_choose_a_trial_do_not_confirm_it(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials are better than the first settings for the choosing users alone, so that they are never confirmed."""
    user = np.sort(log.split(0.9)[1].user)
    is_choosing = tuning._is_in_first_half(user)
    assert not set(user[is_choosing]) & set(user[~is_choosing])
    assert abs(len(set(user[is_choosing])) - len(set(user[~is_choosing]))) <= 1

    def ranks_of(settings: TrainingSettings, events: int) -> NDArray[np.int64]:
        return np.where(is_choosing & (settings != TrainingSettings()), 1, 5)

    search, _ = searched(log, monkeypatch, ranks_of)
    assert search.settings == TrainingSettings()
    found = search.confirmation
    assert found is not None
    assert (found.mrr, found.first_mrr, found.p) == (pytest.approx(0.2), pytest.approx(0.2), 1.0)


def test_a_validation_part_of_one_user_cannot_replace_the_first_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Shop(7, 40, 1).simulate(50)
    generator = np.random.default_rng(0)
    search, _ = searched(log, monkeypatch, lambda _, events: generator.geometric(0.1, events))
    assert search.settings == TrainingSettings()


def test_every_trial_has_the_item_embeddings() -> None:
    shop = Shop(7, 60, 40)
    log, settings = shop.simulate(1_000), TrainingSettings(width=8, hidden=8, max_epochs=1)
    text = ItemEmbeddings("text", shop.item_ids, describe(shop.catalogue, 7).text_vectors)
    start = FromScratch((text,))
    search = tune(log, settings, 0.0, initialization=start)
    assert search.validation.epochs == validate(log, search.settings, initialization=start).epochs
    assert search.validation.epochs != validate(log, search.settings).epochs

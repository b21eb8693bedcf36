"""The search for settings within a time limit."""

from encoder.data.simulator import Shop
from encoder.training.settings import SEARCH_SPACE, TrainingSettings
from encoder.training.train import train_on_all, validate
from encoder.training.tuning import tune
from encoder.training.validation import SELECTION_METRIC, best_epoch


def test_the_trial_with_the_best_validation_wins_within_the_time_limit() -> None:
    log = Shop(7, 60, 40).simulate(1_500)
    base = TrainingSettings(width=32, hidden=32, max_epochs=1)
    now_s = 0.0
    scores: list[tuple[TrainingSettings, float, bool]] = []

    def clock() -> float:
        nonlocal now_s
        now_s += 1.0  # each call takes a second; a trial makes one call and its round three
        return now_s

    settings, validation = tune(
        log, base, 12.0, lambda s, metrics, best: scores.append((s, metrics[SELECTION_METRIC], best)), clock
    )
    assert 2 <= len(scores) <= 4
    assert scores[0][0] == base
    epochs = validation.epochs
    assert epochs[best_epoch(epochs)][SELECTION_METRIC] == max(score for _, score, _ in scores)
    assert settings == [s for s, _, is_best in scores if is_best][-1]
    assert len({s for s, _, _ in scores}) == len(scores)
    for tried, _, _ in scores[1:]:
        assert all(
            getattr(tried, name) in SEARCH_SPACE[name]
            for name in SEARCH_SPACE
            if getattr(tried, name) != getattr(base, name)
        )
        assert tried.hidden == tried.width
    assert validate(log, settings) == validation
    assert train_on_all(log, settings, validation).metrics == epochs[best_epoch(epochs)]

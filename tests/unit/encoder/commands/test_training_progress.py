"""What a training says about a search for settings."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from encoder.commands.training_progress import TrainingProgress, search_text
from encoder.training.settings import TrainingSettings
from encoder.training.tuning import Confirmation, Search
from encoder.training.validation import Validation

FOUND = Confirmation(TrainingSettings(width=96, hidden=96), 0.3712, 0.365, 0.0123)
FIGURES = "the best of 8 trials has mrr@20 0.3712 instead of 0.3650 (p 0.012) on the other half of the validation users"


@pytest.mark.parametrize(
    ("trials", "found", "text"),
    [
        (1, None, "The time was enough for one trial: the first settings stay; give --tune more minutes"),
        (8, None, "None of the 8 trials was better than the first: the first settings stay"),
        (8, FOUND, f"New settings, cell gru, width 96, dropout 0.5, weight_decay 0.8, {FIGURES}"),
        (8, FOUND._replace(p=0.2), f"The first settings stay: {FIGURES.replace('0.012', '0.2')}"),
    ],
)
def test_the_text_says_what_was_found_and_by_how_much(trials: int, found: Any, text: str) -> None:
    search = Search(TrainingSettings(), Validation([], None, np.empty(0, np.int64)), trials, found)
    said = search_text(search)
    for part in text.split(FIGURES):
        assert part in said
    assert ("first settings stay" in said) == (found is not FOUND)


def test_the_training_on_the_whole_log_is_announced_once() -> None:
    printed = io.StringIO()
    metrics = {"loss": 5.0, "recall@20": 0.2, "mrr@20": 0.1}
    with TrainingProgress(Console(file=printed, width=120), max_epochs=2) as progress:
        for epoch in range(2):
            progress.on_epoch(epoch, 0.5, None)
            progress.on_epoch(epoch, 1.0, metrics)
        assert "whole log" not in printed.getvalue()
        for epoch in range(2, 4):
            progress.on_epoch(epoch, 0.5, None)
    assert printed.getvalue().count("Trains the model on the whole log now") == 1

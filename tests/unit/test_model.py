from pathlib import Path

import numpy as np
import pytest
import torch

from encoder import checkpoint
from encoder.cells import CELLS, make_cell
from encoder.errors import InputError
from encoder.evaluation import evaluate, model_ranks
from encoder.log import EventLog
from encoder.optimizer import AdamW
from encoder.sequences import Sequences
from encoder.training import Trained, train
from encoder.training_settings import TrainingSettings
from encoder.vocabulary import Vocabulary
from tests.bundles import tiny_model
from tests.logs import event_log

SMALL = TrainingSettings(width=16, hidden=16, max_epochs=4, events_per_step=64, window=8)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_steps_as_its_sequence_form_runs(name: str) -> None:
    torch.manual_seed(1)
    cell = make_cell(name, 6, 10)
    inputs, state = torch.randn(3, 50, 6), torch.randn(3, cell.state_width)
    with torch.no_grad():
        outputs, last = cell.sequence(inputs, state)
        for t in range(inputs.shape[1]):
            output, state = cell.step(inputs[:, t], state)
            np.testing.assert_allclose(output, outputs[:, t], rtol=0, atol=1e-6)
    np.testing.assert_allclose(state, last, rtol=0, atol=1e-6)


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(InputError, match="'lru' is unknown; known: gru"):
        make_cell("lru", 4, 4)


def test_an_untrained_model_ranks_by_popularity() -> None:
    torch.manual_seed(0)
    model = tiny_model(items=50)
    with torch.no_grad():
        model.items.weight[1:, 1:] = 0
        scores = model.item_vectors() @ model.initial_representation(1)[0]
    assert (torch.diff(scores) < 0).all()  # tiny_model's counts fall from item 1 on


def test_adamw_follows_the_paper() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=(5, 3))
    parameter = torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))
    optimizer = AdamW([parameter], learning_rate=0.01, weight_decay=0.1)
    mean = square = np.zeros((5, 3))
    for t in range(1, 11):
        gradient, rate = rng.normal(size=(5, 3)), 0.5 + t / 20
        parameter.grad = torch.tensor(gradient)
        optimizer.step(rate, clip_norm=1e9)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        direction = (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
        value = value - rate * 0.01 * (direction + 0.1 * value)  # the decay apart from the gradient: algorithm 2
    np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-9)


def cyclic_log(users: int = 60, steps: int = 12) -> EventLog:
    """Everyone goes round six items, from a start of their own: the last item tells the next."""
    rows = [(f"u{u}", f"i{(u + t) % 6}", "view", 1_000 * t) for t in range(steps) for u in range(users)]
    return event_log(rows)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(cyclic_log(), SMALL)


def test_training_learns_a_rule_and_evaluation_sees_it(trained: Trained) -> None:
    result = evaluate(trained.model, trained.vocabulary, trained.baselines, cyclic_log(users=6))
    assert result["warm"]["model"]["mrr@20"] > 0.95
    assert result["warm"]["popularity"]["mrr@20"] < 0.6
    assert result["warm"]["last_item"]["mrr@20"] == 1.0
    assert result["first"]["model"]["n"] == 6


def test_the_same_log_and_seed_give_the_same_weights(trained: Trained) -> None:
    again = train(cyclic_log(), SMALL)
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_a_checkpoint_is_read_back_as_it_was(trained: Trained, tmp_path: Path) -> None:
    log = cyclic_log()
    checkpoint.save(trained, log, tmp_path / "c")
    loaded = checkpoint.load(tmp_path / "c")
    sequences = Sequences.of(log, loaded.vocabulary)
    assert np.array_equal(model_ranks(loaded.model, sequences), model_ranks(trained.model, sequences))
    assert np.array_equal(loaded.baselines.pair_counts, trained.baselines.pair_counts)
    assert loaded.description.data["events"] == len(log)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint at .*nowhere"):
        checkpoint.load(tmp_path / "nowhere")


def test_ranks_follow_every_user_alone_and_across_windows() -> None:
    model = tiny_model(items=6)
    log = cyclic_log(users=5, steps=300)  # longer than a window of the evaluation
    vocabulary = Vocabulary(items=[f"i{i}" for i in range(6)], actions=["view"])
    sequences = Sequences.of(log, vocabulary)
    ranks = model_ranks(model, sequences)
    with torch.no_grad():
        for user in range(len(sequences)):
            state, representation = model.initial_state(1), model.initial_representation(1)
            for position in range(int(sequences.starts[user]), int(sequences.starts[user + 1])):
                item = int(sequences.item[position])
                scores = (model.item_vectors() @ representation[0]).double()
                assert abs(int((scores >= scores[item - 1] - 1e-5).sum()) - int(ranks[position])) <= 1
                values = (
                    torch.tensor([int(c[position])]) for c in (sequences.item, sequences.action, sequences.gap_ms)
                )
                state, representation = model.step(*values, state)

"""Cells, the whole model, its training on small logs and its checkpoints."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from encoder.data.event_log import EventLog
from encoder.data.recent_items import FIELDS, PLACES
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.model.cells import CELLS, Cell, make_cell
from encoder.model.operations.parallel_scan import parallel_scan
from encoder.training.checkpoints import checkpoint
from encoder.training.evaluation import evaluate, model_ranks
from encoder.training.optimizer import AdamW
from encoder.training.settings import CELL_NAMES, TrainingSettings
from encoder.training.train import Trained, train
from tests.support.bundles import tiny_model
from tests.support.logs import event_log

SMALL = TrainingSettings(width=16, hidden=16, max_epochs=4, events_per_step=64, window=8)


@pytest.fixture(params=[(name, layers) for name in CELLS for layers in (1, 2)], ids=lambda p: f"{p[0]}-{p[1]}")
def cell(request: pytest.FixtureRequest) -> Cell:
    """Return a cell with 6 inputs whose gates are saturated at times, as those of trained cells are."""
    name, layers = request.param
    torch.manual_seed(1)
    cell = make_cell(name, 6, 12, layers)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter *= 2
    return cell


@torch.no_grad()
def test_steps_of_a_cell_equal_its_sequence_form(cell: Cell) -> None:
    inputs, state = torch.randn(3, 50, 6), torch.randn(3, cell.state_width)
    outputs, last = cell.sequence(inputs, state)
    assert outputs.shape == (3, 50, cell.output_width)
    for t in range(inputs.shape[1]):
        output, state = cell.step(inputs[:, t], state)
        np.testing.assert_allclose(output, outputs[:, t], rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(state, last, rtol=2e-6, atol=2e-6)


@torch.no_grad()
def test_a_sequence_in_windows_equals_the_whole_sequence(cell: Cell) -> None:
    inputs, state = torch.randn(3, 50, 6), torch.randn(3, cell.state_width)
    outputs, last = cell.sequence(inputs, state)
    parts = []
    for window in inputs.split([1, 32, 17], dim=1):
        part, state = cell.sequence(window, state)
        parts.append(part)
    np.testing.assert_allclose(torch.cat(parts, dim=1), outputs, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(state, last, rtol=2e-6, atol=2e-6)


def test_the_last_output_gives_each_weight_of_a_cell_a_gradient(cell: Cell) -> None:
    outputs, _ = cell.sequence(torch.randn(3, 50, 6), cell.initial_state(3))
    (outputs[:, -1] * torch.randn(cell.output_width)).sum().backward()
    for name, parameter in cell.named_parameters():
        gradient = torch.zeros(1) if parameter.grad is None else parameter.grad
        assert gradient.any(), name
        assert gradient.isfinite().all(), name


def test_the_scan_equals_the_recurrence_for_gates_from_closed_to_open() -> None:
    generator = torch.Generator().manual_seed(0)
    gates = 30 * torch.randn(4, 1_000, 8, generator=generator)  # products of gates underflow here
    keep, added = torch.sigmoid(gates).requires_grad_(), torch.randn(4, 1_000, 8, generator=generator)
    state = torch.randn(4, 8, generator=generator)
    got = parallel_scan(keep, added, state)
    exact, largest = state.double(), 0.0
    for t in range(1_000):
        exact = keep[:, t].detach().double() * exact + added[:, t].double()
        largest = max(largest, float(exact.abs().max()))
        np.testing.assert_allclose(got[:, t].detach(), exact, rtol=0, atol=1e-6 * largest)
    (gradient,) = torch.autograd.grad(got.sum(), keep)
    assert gradient.isfinite().all()


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(InputError, match="'lru' is unknown: use one of rnn, lstm, gru, mingru, hgrn2"):
        make_cell("lru", 4, 4)


def test_a_shape_that_a_cell_cannot_have_is_refused() -> None:
    with pytest.raises(InputError, match="cannot have 0 layers"):
        make_cell("gru", 4, 4, layers=0)
    with pytest.raises(InputError, match=r"width 10 of the cell .hgrn2. is not a multiple"):
        make_cell("hgrn2", 4, 10)


def test_the_settings_name_all_cells() -> None:
    assert tuple(CELLS) == CELL_NAMES


def test_an_untrained_model_ranks_by_popularity() -> None:
    torch.manual_seed(0)
    model = tiny_model(items=50)
    with torch.no_grad():
        model.items.weight[1:, 1:] = 0
        scores = model.item_vectors() @ model.initial_representation(1)[0, : model.config.width]
    assert (torch.diff(scores) < 0).all()  # in a tiny_model, items are sorted by popularity


def test_adamw_computes_the_formula_of_the_paper() -> None:
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
        # The weight decay is decoupled from the gradient: algorithm 2 of the paper.
        value = value - rate * 0.01 * (direction + 0.1 * value)
    np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-9)


def cyclic_log(users: int = 60, steps: int = 12) -> EventLog:
    """Return a log in which each user views six items in turn, so that the last item determines the next."""
    rows = [(f"u{u}", f"i{(u + t) % 6}", "view", 1_000 * t) for t in range(steps) for u in range(users)]
    return event_log(rows)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(cyclic_log(), SMALL)


def test_training_learns_a_rule_and_the_evaluation_shows_it(trained: Trained) -> None:
    result = evaluate(trained.model, trained.vocabulary, trained.baselines, cyclic_log(users=6))
    assert result["warm"]["model"]["mrr@20"] > 0.95
    assert result["warm"]["popularity"]["mrr@20"] < 0.6
    assert result["warm"]["last_item"]["mrr@20"] == 1.0
    assert result["first"]["model"]["n"] == 6


def test_the_same_log_and_seed_give_the_same_weights(trained: Trained) -> None:
    again = train(cyclic_log(), SMALL)
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_a_loaded_checkpoint_equals_the_saved_one(trained: Trained, tmp_path: Path) -> None:
    log = cyclic_log()
    checkpoint.save(trained, log, tmp_path / "c")
    loaded = checkpoint.load(tmp_path / "c")
    sequences = Sequences.from_log(log, loaded.vocabulary)
    assert np.array_equal(model_ranks(loaded.model, sequences), model_ranks(trained.model, sequences))
    assert np.array_equal(loaded.baselines.pair_counts, trained.baselines.pair_counts)
    assert loaded.description.data["events"] == len(log)


def test_a_checkpoint_without_the_field_layers_can_be_loaded(trained: Trained, tmp_path: Path) -> None:
    checkpoint.save(trained, cyclic_log(), tmp_path)
    description = msgspec.json.decode((tmp_path / "checkpoint.json").read_bytes())
    del description["model"]["layers"], description["settings"]["layers"]
    (tmp_path / "checkpoint.json").write_bytes(msgspec.json.encode(description))
    loaded = checkpoint.load(tmp_path)
    assert (loaded.model.config.layers, loaded.description.settings.layers) == (1, 1)
    # These are the names of the weights in a checkpoint of that time.
    assert {name for name in loaded.model.state_dict() if name.startswith("cell.")} == {
        f"cell.gru.{kind}_{side}_l0" for kind in ("weight", "bias") for side in ("ih", "hh")
    }


@pytest.mark.parametrize(("cell", "layers"), [("gru", 2), ("mingru", 1), ("hgrn2", 2)])
def test_other_cells_are_trained_and_saved_in_the_same_way(cell: str, layers: int, tmp_path: Path) -> None:
    other = train(cyclic_log(), msgspec.structs.replace(SMALL, cell=cell, layers=layers))
    assert other.metrics["mrr@20"] > 0.9
    checkpoint.save(other, cyclic_log(), tmp_path)
    loaded = checkpoint.load(tmp_path)
    assert (loaded.model.config.cell, loaded.model.config.layers) == (cell, layers)


@pytest.mark.parametrize("loss", ["sampled", "bpr-max"])
def test_losses_with_sampled_items_also_learn_the_rule(loss: str) -> None:
    """With four negatives of six items in a step, most rows of the table are updated only when they are read again."""
    sampled = train(cyclic_log(), msgspec.structs.replace(SMALL, loss=loss, negatives=4))
    assert sampled.metrics["mrr@20"] > 0.9


def test_an_error_names_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint at .*nowhere"):
        checkpoint.load(tmp_path / "nowhere")


def test_ranks_depend_on_one_user_only_also_across_windows() -> None:
    model = tiny_model(items=6)
    log = cyclic_log(users=5, steps=300)  # longer than a window of the evaluation
    vocabulary = Vocabulary(items=[f"i{i}" for i in range(6)], actions=["view"])
    sequences = Sequences.from_log(log, vocabulary)
    ranks = model_ranks(model, sequences)
    with torch.no_grad():
        for user in range(len(sequences)):
            state, representation = model.initial_state(1), model.initial_representation(1)
            for position in range(int(sequences.starts[user]), int(sequences.starts[user + 1])):
                item = int(sequences.item[position])
                scores = (model.item_vectors() @ representation[0, : model.config.width]).double()
                recent = state[0, model.recurrent_width :].view(len(FIELDS), PLACES)
                for number, added in zip(recent[0].int().tolist(), recent[-1].tolist(), strict=True):
                    scores[number - 1] += added if number else 0
                assert abs(int((scores >= scores[item - 1] - 1e-5).sum()) - int(ranks[position])) <= 1
                values = (
                    torch.tensor([int(c[position])]) for c in (sequences.item, sequences.action, sequences.gap_ms)
                )
                state, representation = model.step(*values, state)

"""The linear memory beside the cell, and item vectors that include those of their neighbours."""

from pathlib import Path

import numpy as np
import pytest
import torch

from encoder.data.vocabulary import Vocabulary
from encoder.model.config import ModelConfig
from encoder.model.neighbours import MAX_NEIGHBOURS, PRIOR_WEIGHT, Neighbours, neighbour_matrix
from encoder.model.traces import DECAYS, Traces
from encoder.model.user_model import UserModel
from export.exporter import export_model
from tests.support.sequences import sequences_of


@pytest.fixture
def traces() -> Traces:
    torch.manual_seed(0)
    traces = Traces(6, 4)
    torch.nn.init.normal_(traces.map.weight)
    return traces


@torch.no_grad()
def test_a_trace_decays_at_its_rate(traces: Traces) -> None:
    inputs = torch.randn(1, 6)
    _, state = traces.step(inputs, torch.zeros(1, traces.state_width))
    later, _ = traces.step(torch.zeros(1, 6), state)
    by_rate = traces.map(inputs).view(len(DECAYS), 4)
    torch.testing.assert_close(later[0], (torch.tensor(DECAYS)[:, None] * by_rate).sum(dim=0))


@torch.no_grad()
def test_steps_equal_the_sequence_form(traces: Traces) -> None:
    inputs, state = torch.randn(3, 200, 6), torch.randn(3, traces.state_width)
    outputs, last = traces.sequence(inputs, state)
    for t in range(200):
        output, state = traces.step(inputs[:, t], state)
        torch.testing.assert_close(output, outputs[:, t], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("cell", "layers"), [("gru", 1), ("lstm", 2), ("hgrn2", 1)])
def test_a_model_with_traces_is_exported_without_differences(cell: str, layers: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = UserModel(ModelConfig(items=9, actions=2, cell=cell, layers=layers, width=8, hidden=8, traces=True))
    assert model.traces is not None
    torch.nn.init.normal_(model.traces.map.weight, std=0.3)
    bundle = export_model(model, Vocabulary([f"i{n}" for n in range(9)], ["a", "b"]), tmp_path / "bundle")
    assert bundle.manifest.state_width == model.cell.state_width + len(DECAYS) * 8
    assert bundle.manifest.parity["rank_errors"] == 0


def test_neighbours_are_items_of_the_same_user_weighted_by_their_distance() -> None:
    matrix = neighbour_matrix(sequences_of([1, 2, 3, 4], [5, 0, 5, 1]), 5).to_dense().numpy()
    assert matrix[0].tolist() == [0] * 6
    assert matrix[1, 2:5] == pytest.approx(np.array([1, 1 / 2, 1 / 3]) / (11 / 6 + 1 + 1 / 3 + PRIOR_WEIGHT))
    assert matrix[1, 5] == pytest.approx((1 + 1 / 3) / (11 / 6 + 1 + 1 / 3 + PRIOR_WEIGHT))
    assert matrix[4, 5] == 0
    assert matrix[5, 5] == 0
    assert (matrix > 0).tolist() == (matrix.T > 0).tolist()


def test_an_item_keeps_its_nearest_neighbours() -> None:
    others = list(range(2, MAX_NEIGHBOURS + 6))
    users = [[1, other] for other in others] + [[1, other] for other in others[:MAX_NEIGHBOURS]]
    row = neighbour_matrix(sequences_of(*users), max(others)).to_dense()[1]
    assert row.nonzero().flatten().tolist() == others[:MAX_NEIGHBOURS]
    # The weights are relative to all neighbours, also to those left out.
    assert row[2] == pytest.approx(2 / (2 * MAX_NEIGHBOURS + 4 + PRIOR_WEIGHT))


def test_training_learns_the_share_of_the_neighbours_and_each_step_recomputes_it() -> None:
    torch.manual_seed(0)
    model = UserModel(ModelConfig(items=5, actions=1, width=4, hidden=4))
    neighbours = Neighbours(sequences_of([1, 2, 3, 4], [5, 1]), 5, 4)
    model.attach_neighbours(neighbours)
    model.train()
    for _ in range(2):  # a second step would fail if it used the autograd graph of the first one
        model.begin_step()
        model.item_vectors().square().sum().backward()
    assert neighbours.share.grad is not None
    assert neighbours.share.grad.any()
    with torch.no_grad():
        neighbours.share += 1
    before = model.item_vectors().clone()
    model.begin_step()
    assert not torch.allclose(before, model.item_vectors())


def test_the_part_of_the_neighbours_becomes_part_of_the_item_vectors_after_training() -> None:
    torch.manual_seed(0)
    model = UserModel(ModelConfig(items=5, actions=1, width=4, hidden=4)).eval()
    neighbours = Neighbours(sequences_of([1, 2, 3, 4], [5, 1]), 5, 4)
    torch.nn.init.normal_(neighbours.share)
    plain = model.item_vectors().clone()
    model.attach_neighbours(neighbours)
    leaning = model.item_vectors().clone()
    assert not torch.allclose(plain, leaning)
    model.fold_neighbours()
    assert torch.equal(model.item_vectors(), leaning)
    assert not any("neighbours" in name for name in model.state_dict())

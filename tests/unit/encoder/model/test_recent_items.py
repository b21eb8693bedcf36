"""The recent items in the states of the model."""

import numpy as np
import pytest
import torch

from encoder.data.recent_items import FIELDS, PLACES
from encoder.model.cells import CELLS
from encoder.model.config import ModelConfig
from encoder.model.user_model import UserModel
from tests.support.bundles import tiny_model
from tests.support.sequences import sequences_with_repeats


@torch.no_grad()
@pytest.mark.parametrize("cell", CELLS)
def test_the_recent_items_of_a_state_are_those_of_training_and_evaluation(cell: str) -> None:
    sequences = sequences_with_repeats(users=12)
    model = tiny_model(items=25, width=8, cell=cell)
    before = sequences.recent_positions.before(np.arange(len(sequences.item)))
    for user in range(len(sequences)):
        state = model.initial_state(1)
        for at in range(int(sequences.starts[user]), int(sequences.starts[user + 1])):
            item, action, age_s, count, score = state[0, model.recurrent_width :].view(len(FIELDS), PLACES).numpy()
            np.testing.assert_array_equal(item, before.item[at])
            np.testing.assert_array_equal(action, before.action[at])
            np.testing.assert_array_equal(count, before.count[at])
            np.testing.assert_allclose(age_s, before.age_s[at], rtol=1e-5)
            assert (score[item == 0] == 0).all()
            assert (score[item > 0] != 0).all()
            event = (torch.tensor([int(part[at])]) for part in (sequences.item, sequences.action, sequences.gap_ms))
            state, _ = model.step(*event, state)


def test_a_score_is_the_sum_of_the_numbers_of_its_place_action_age_and_count() -> None:
    recent = tiny_model(items=25, width=8).recent
    assert recent is not None
    item, action = torch.tensor([[3, 9] + [0] * (PLACES - 2)]), torch.tensor([[2, 0] + [3] * (PLACES - 2)])
    age_s, count = (torch.tensor([[float(a), float(b)] + [5.0] * (PLACES - 2)]) for a, b in ((0, 90_000), (1, 4)))
    (scores,) = recent(item, action, age_s, count).tolist()
    for place in range(2):
        logarithms = np.log1p([float(age_s[0, place]), float(count[0, place])])
        numbers = float(recent.age), float(recent.count)
        expected = float(recent.place[place] + recent.action[action[0, place]]) + logarithms @ numbers
        np.testing.assert_allclose(scores[place], expected, rtol=1e-5)
    assert scores[2:] == [0] * (PLACES - 2)


def test_without_a_fit_recent_items_have_no_score() -> None:
    model = UserModel(ModelConfig(items=9, actions=3, width=8, hidden=8, recent_items=True)).eval()
    with torch.no_grad():
        state, _ = model.step(torch.tensor([4]), torch.tensor([1]), torch.tensor([-1]), model.initial_state(1))
    fields = state[0, model.recurrent_width :].view(len(FIELDS), PLACES)
    assert fields[:, 0].tolist() == [4, 1, 0, 1, 0]
    assert not fields[:, 1:].any()


@torch.no_grad()
def test_scaled_scores_leave_the_heads_as_they_are() -> None:
    model = tiny_model(items=25, width=8)
    events = torch.tensor([3, 7]), torch.tensor([1, 2]), torch.tensor([-1, 50])
    assert model.heads is not None
    _, before = model.step(*events, model.initial_state(2))
    heads = model.heads.outputs(before)
    initial = model.initial_representation(2)
    model.scale_scores(0.3)
    _, after = model.step(*events, model.initial_state(2))
    width = model.config.width
    torch.testing.assert_close(after[:, :width], 0.3 * before[:, :width], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(after[:, width:], before[:, width:], rtol=0, atol=0)
    torch.testing.assert_close(model.initial_representation(2)[:, :width], 0.3 * initial[:, :width])
    for one, other in zip(model.heads.outputs(after), heads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

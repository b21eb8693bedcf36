"""Training steps that read the rows of only some items."""

import msgspec
import pytest
import torch

from encoder.model.config import ModelConfig
from encoder.model.item_table import read_rows
from encoder.model.neighbours import Neighbours
from encoder.model.user_model import UserModel
from tests.support.content import model_with_all_features
from tests.support.sequences import sequences_of


def test_the_vectors_of_some_items_are_those_in_the_whole_table() -> None:
    """Some items have neighbours and some have hidden ids. Each needed row is read once."""
    torch.manual_seed(0)
    model = UserModel(ModelConfig(items=6, actions=1, width=4, hidden=4))
    neighbours = Neighbours(sequences_of([1, 2, 3, 4], [5, 1], [6]), 6, 4)
    torch.nn.init.normal_(neighbours.share)
    model.attach_neighbours(neighbours)
    model.train()
    model.begin_step()
    whole = model.item_table()
    asked = []

    def read(table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        asked.append(rows.tolist())
        return read_rows(table, rows)

    items = torch.tensor([[5, 2], [5, 0]])
    model.begin_step(items, read)
    torch.testing.assert_close(model.item_table(), whole[[0, 2, 5]])
    assert model.table_rows(items).tolist() == [[2, 1], [2, 0]]
    torch.testing.assert_close(model.item_table()[model.table_rows(items)], whole[items])
    assert asked == [[0, 1, 2, 3, 4, 5]]
    model.eval()
    torch.testing.assert_close(model.item_table(), whole)


@pytest.mark.parametrize("id_dropout", [0.0, 1.0])
def test_the_vectors_of_some_items_include_their_content(id_dropout: float) -> None:
    model = model_with_all_features()
    model.config = msgspec.structs.replace(model.config, id_dropout=id_dropout)
    whole, ids = model.item_table(), model.items.weight
    model.train()
    assert model.content is not None
    model.content.eval()  # evaluation mode hides no feature
    model.begin_step(torch.tensor([[4, 17], [0, 4]]))
    some, rows = model.item_table(), [0, 4, 17]
    assert len(some) == len(rows)
    # An item with a hidden id starts from the row of the unknown item.
    ids_kept = ids[rows] if id_dropout == 0 else ids[:1]
    torch.testing.assert_close(some[:, 0], (whole - ids)[rows][:, 0] + ids_kept[:, 0])
    if id_dropout == 0:
        torch.testing.assert_close(some, whole[rows])

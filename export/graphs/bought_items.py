"""The items that a user bought last, in the step graph. No weight depends on them, so the model does not know them.

See docs/decisions.md#bought-items-in-the-step-graph
"""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from encoder.model.user_model import UserModel
from export.graphs.builder import GraphBuilder
from export.graphs.recent_items import add_moves
from export.purchases import PLACES


def bought_places(purchases: Sequence[int]) -> int:
    """The number of bought items of a state: 0 without purchase actions. purchases: their indices."""
    return PLACES if purchases else 0


def exported_width(model: UserModel, purchases: Sequence[int]) -> int:
    """The width of an exported state: the bought items, and behind them the model's state."""
    return bought_places(purchases) + model.state_width


def add_bought_items(graph: GraphBuilder, purchases: Sequence[int], actions: int, state: str) -> str:
    """Add the bought items after an event, from item, action (B,) int64 and the bought items before, (B, K) float32.

    The newest stands first, and 0 is an empty place. An event of another action and an unknown item change nothing.
    actions: A of the model. Returns the name of the next (B, K) float32.
    """
    is_purchase = np.zeros(actions + 1, np.int64)
    is_purchase[list(purchases)] = 1
    flags = graph.add("Gather", [graph.constant("is_purchase", is_purchase), "action"], "flag")
    column = graph.constant("column_axis", np.array([1], np.int64))
    bought = graph.add("Unsqueeze", [graph.add("Mul", ["item", flags], "item"), column], "item_column")
    new_item = graph.add("Cast", [bought], "new_item", to=TensorProto.FLOAT)
    is_item = graph.add("Cast", [graph.add("Equal", [state, new_item], "is_item")], "same", to=TensorProto.FLOAT)
    moves = add_moves(graph, is_item, new_item, graph.constant("zero", np.array(0, np.float32)), PLACES)
    parts = graph.constant("all_but_last", np.array([PLACES - 1, 1], np.int64))
    others, _ = graph.add_many("Split", [state, parts], ["others", "oldest"], axis=1)
    moved = graph.add("Concat", [new_item, others], "moved", axis=1)
    return graph.add("Where", [moves, moved, state], "next_state")

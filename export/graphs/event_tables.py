"""The part of a linear map of a step's inputs that depends on the event alone.

A step's input is a sum of embeddings. So a linear map of the input is a sum of lookups, in tables that hold the rows of
each embedding times the map's weight.
"""

import numpy as np
import torch
from onnx import TensorProto, ValueInfoProto, helper
from torch import Tensor

from encoder.data.features import EPOCH_HOUR, HOUR_MS, PRICE, TIME, WEEK_HOURS
from encoder.model.content import Content
from encoder.model.user_model import UserModel
from export.graphs.builder import GraphBuilder, as_float32

# Up to so many items, the graph looks up each map's outputs of an item, 1.8 KB an item for a default model. Above, it
# looks up the item's inputs and computes the maps: tables of 1,000,000 items take 1.7 GB, near the 2 GB that an ONNX
# file may have. See docs/decisions.md#inputs-instead-of-tables-for-large-catalogues
TABLED_ITEMS = 50_000
ITEM_INPUTS = "item_inputs_of_event"


def feature_inputs(model: UserModel) -> list[ValueInfoProto]:
    """The step graph's inputs for the model's features: (B,) float32 for the price, (B,) int64 for the others."""
    types = {name: TensorProto.FLOAT if name == PRICE else TensorProto.INT64 for name in model.config.features}
    return [helper.make_tensor_value_info(name, element, ["batch"]) for name, element in types.items()]


def add_feature_rows(graph: GraphBuilder, model: UserModel) -> None:
    """Add `<feature>_row` (B,) int64 of every feature, which is the row of its table.

    For a large catalogue, this also adds the inputs of the items, (B, D) float32.
    """
    if model.config.items > TABLED_ITEMS:
        graph.add("Gather", [graph.constant("item_inputs", as_float32(_item_inputs(model))), "item"], ITEM_INPUTS)
    if model.week_hours is not None:
        for constant, value in (("hour_ms", HOUR_MS), ("epoch_hour", EPOCH_HOUR), ("week", WEEK_HOURS)):
            graph.constant(constant, np.array(value, np.int64))
        hour = graph.add("Add", [graph.add("Div", [TIME, "hour_ms"], "hours"), "epoch_hour"], "hours_since_monday")
        graph.add("Mod", [hour, "week"], f"{TIME}_row")
    if model.content is None:
        return
    graph.constant("unknown_item", np.array(0, np.int64))
    is_unknown = graph.add("Equal", ["item", "unknown_item"], "is_unknown")
    for name, table in model.content.tables.items():
        row = _add_price_bucket(graph, model.content) if name == PRICE else name
        zeros_row = graph.constant(f"{name}_nothing", np.array(len(table), np.int64))
        graph.add("Where", [is_unknown, row, zeros_row], f"{name}_row")


def add_event_part(
    graph: GraphBuilder,
    model: UserModel,
    context: str,
    name: str,
    weight: Tensor,
    bias: Tensor,
    item_part: Tensor | None = None,
) -> str:
    """Add a linear map of the event's inputs. Returns the name of the result (B, P) float32.

    context: name of (B,) int64, the row of (action, gap bucket). name: prefix of what is added. weight: (P, D) and
    bias: (P,) float64 of the map. item_part: (N + 1, P) float64, added for each item besides the map.
    """
    total = ""
    for row, inputs in _tables(model, context).items():
        if row == "item" and len(inputs) - 1 > TABLED_ITEMS:
            total = _add_computed_item_part(graph, name, weight, item_part)
            continue
        table = inputs @ weight.T
        if row == "item" and item_part is not None:
            table += item_part
        if row == context:
            table += bias
        rows = graph.constant(f"{name}_of_{row}", as_float32(table))
        part = graph.add("Gather", [rows, row], f"{name}_{row}_part")
        total = graph.add("Add", [total, part], f"{name}_with_{row}") if total else part
    return total


def _add_computed_item_part(graph: GraphBuilder, name: str, weight: Tensor, item_part: Tensor | None) -> str:
    """Add the map of the item's inputs as a product, without a table of its outputs: (B, P) float32."""
    mapped = graph.constant(f"{name}_item_weight", as_float32(weight.T))
    part = graph.add("MatMul", [ITEM_INPUTS, mapped], f"{name}_item_mapped")
    if item_part is None:
        return part
    rows = graph.constant(f"{name}_of_item", as_float32(item_part))
    return graph.add("Add", [part, graph.add("Gather", [rows, "item"], f"{name}_item_own")], f"{name}_item_part")


def _tables(model: UserModel, context: str) -> dict[str, Tensor]:
    """The tables of a step's inputs: name of a (B,) int64 row in the graph -> (K, D) float64.

    A step's input is the sum of one row of each table. The item table has no content for the unknown item. The content
    of an unknown item comes from tables of its own, whose last row of zeros is for known items.
    """
    tables = {"item": _item_inputs(model), context: _context_inputs(model)}
    if model.week_hours is not None:
        tables[f"{TIME}_row"] = model.week_hours.table().double()
    if model.content is not None:
        for name, table in model.content.tables.items():
            tables[f"{name}_row"] = torch.cat([table.double(), torch.zeros(1, table.shape[1])])
    return tables


def _item_inputs(model: UserModel) -> Tensor:
    """(N + 1, D) float64."""
    items = model.item_table().detach().double()
    items[0] = model.items.weight[0].detach().double()
    return items


def _context_inputs(model: UserModel) -> Tensor:
    """(actions · buckets, D) float64: the inputs of an action and a gap bucket together."""
    return (model.actions.weight.double()[:, None, :] + model.gaps.weight.double()[None, :, :]).flatten(0, 1)


def _add_price_bucket(graph: GraphBuilder, content: Content) -> str:
    """Add (B,) int64, the number of boundaries that a price has reached: 0 for a price that is not a number."""
    graph.constant("price_boundaries", content.price_boundaries.numpy())
    graph.constant("price_axis", np.array([1], np.int64))
    column = graph.add("Unsqueeze", [PRICE, "price_axis"], "price_column")
    reached = graph.add("GreaterOrEqual", [column, "price_boundaries"], "price_reached")
    counted = graph.add("Cast", [reached], "price_counted", to=TensorProto.INT64)
    return graph.add("ReduceSum", [counted, "price_axis"], "price_bucket", keepdims=0)

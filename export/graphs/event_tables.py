"""What an event gives to a linear map of a step's inputs: a sum of lookups, in tables that hold each input's rows times
the map's weight."""

import numpy as np
import torch
from onnx import TensorProto, ValueInfoProto, helper
from torch import Tensor

from encoder.data.features import EPOCH_HOUR, HOUR_MS, PRICE, TIME, WEEK_HOURS
from encoder.model.content import Content
from encoder.model.user_model import UserModel
from export.graphs.builder import Graph, array

# Up to so many items, what they give to a step is looked up: a row of each map's outputs, 1.8 KB an item for a default
# model. Above, only their inputs are, 256 bytes, and the product is computed, in the same time: tables of 1,000,000
# items have 1.7 GB, near the 2 GB that an ONNX file may have, and a row of them comes from memory, not from a cache.
TABLED_ITEMS = 50_000
ITEM_INPUTS = "item_inputs_of_event"


def feature_inputs(model: UserModel) -> list[ValueInfoProto]:
    """The step graph's inputs for the model's features: (B,) float32 for the price, else (B,) int64."""
    types = {name: TensorProto.FLOAT if name == PRICE else TensorProto.INT64 for name in model.config.features}
    return [helper.make_tensor_value_info(name, of, ["batch"]) for name, of in types.items()]


def add_feature_rows(graph: Graph, model: UserModel) -> None:
    """Add (B,) int64 `<feature>_row` of every feature: its row of `_tables`; of a large catalogue also the items'
    inputs, (B, D) float32."""
    if model.config.items > TABLED_ITEMS:
        graph.add("Gather", [graph.constant("item_inputs", array(_item_inputs(model))), "item"], ITEM_INPUTS)
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
        row = _price_row(graph, model.content) if name == PRICE else name
        nothing = graph.constant(f"{name}_nothing", np.array(len(table), np.int64))
        graph.add("Where", [is_unknown, row, nothing], f"{name}_row")


def add_event_part(
    graph: Graph, model: UserModel, context: str, name: str, weight: Tensor, bias: Tensor, own: Tensor | None = None
) -> str:
    """Add the map of the event's inputs: (P, D) weight and (P,) bias -> name of the (B, P) float32 result, all float64
    but the result. context: (B,) int64 row of (action, gap bucket); own: (N + 1, P) what an item adds by itself."""
    total = ""
    for row, inputs in _tables(model, context).items():
        if row == "item" and len(inputs) - 1 > TABLED_ITEMS:
            total = _computed_item_part(graph, name, weight, own)
            continue
        table = inputs @ weight.T
        if row == "item" and own is not None:
            table += own
        if row == context:
            table += bias
        rows = graph.constant(f"{name}_of_{row}", array(table))
        part = graph.add("Gather", [rows, row], f"{name}_{row}_part")
        total = graph.add("Add", [total, part], f"{name}_with_{row}") if total else part
    return total


def _computed_item_part(graph: Graph, name: str, weight: Tensor, own: Tensor | None) -> str:
    """(B, P) float32 name of what the items give, without a table of it."""
    mapped = graph.constant(f"{name}_item_weight", array(weight.T))
    part = graph.add("MatMul", [ITEM_INPUTS, mapped], f"{name}_item_mapped")
    if own is None:
        return part
    rows = graph.add("Gather", [graph.constant(f"{name}_of_item", array(own)), "item"], f"{name}_item_own")
    return graph.add("Add", [part, rows], f"{name}_item_part")


def _tables(model: UserModel, context: str) -> dict[str, Tensor]:
    """Name of a (B,) int64 row in the graph -> (K, D) float64 table of its inputs; a step's input is the sum of them.

    The content of the unknown item is not in its row but in tables of their own, which end in a row of zeros for the
    items that are known.
    """
    tables = {"item": _item_inputs(model), context: _pairs(model)}
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


def _price_row(graph: Graph, content: Content) -> str:
    """(B,) int64: how many boundaries a price has reached; none where it is nan."""
    graph.constant("price_boundaries", content.price_boundaries.numpy())
    graph.constant("price_axis", np.array([1], np.int64))
    column = graph.add("Unsqueeze", [PRICE, "price_axis"], "price_column")
    reached = graph.add("GreaterOrEqual", [column, "price_boundaries"], "price_reached")
    counted = graph.add("Cast", [reached], "price_counted", to=TensorProto.INT64)
    return graph.add("ReduceSum", [counted, "price_axis"], "price_bucket", keepdims=0)


def _pairs(model: UserModel) -> Tensor:
    """(actions · buckets, D) float64: the part of a cell's inputs that an action and a gap give."""
    return (model.actions.weight.double()[:, None, :] + model.gaps.weight.double()[None, :, :]).flatten(0, 1)

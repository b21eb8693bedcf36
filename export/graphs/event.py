"""What an event gives to a linear map of a step's inputs: a sum of lookups, in tables that hold each input's rows times
the map's weight."""

import numpy as np
import torch
from onnx import TensorProto, ValueInfoProto, helper
from torch import Tensor

from encoder.content import Content
from encoder.features import EPOCH_HOUR, HOUR_MS, PRICE, TIME, WEEK_HOURS
from encoder.model import UserModel
from export.graphs.builder import Graph, array


def feature_inputs(model: UserModel) -> list[ValueInfoProto]:
    """The step graph's inputs for the model's features: (B,) float32 for the price, else (B,) int64."""
    types = {name: TensorProto.FLOAT if name == PRICE else TensorProto.INT64 for name in model.config.features}
    return [helper.make_tensor_value_info(name, of, ["batch"]) for name, of in types.items()]


def add_feature_rows(graph: Graph, model: UserModel) -> None:
    """Add (B,) int64 `<feature>_row` of every feature: its row of `_tables`."""
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
        table = inputs @ weight.T
        if row == "item" and own is not None:
            table += own
        if row == context:
            table += bias
        rows = graph.constant(f"{name}_of_{row}", array(table))
        part = graph.add("Gather", [rows, row], f"{name}_{row}_part")
        total = graph.add("Add", [total, part], f"{name}_with_{row}") if total else part
    return total


def _tables(model: UserModel, context: str) -> dict[str, Tensor]:
    """Name of a (B,) int64 row in the graph -> (K, D) float64 table of its inputs; a step's input is the sum of them.

    The content of the unknown item is not in its row but in tables of their own, which end in a row of zeros for the
    items that are known.
    """
    items = model.item_table().detach().double()
    items[0] = model.items.weight[0].detach().double()
    tables = {"item": items, context: _pairs(model)}
    if model.week_hours is not None:
        tables[f"{TIME}_row"] = model.week_hours.table().double()
    if model.content is not None:
        for name, table in model.content.tables.items():
            tables[f"{name}_row"] = torch.cat([table.double(), torch.zeros(1, table.shape[1])])
    return tables


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

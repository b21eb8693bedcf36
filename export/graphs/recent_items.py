"""The recent items in the step graph. See `encoder.model.recent_items` for what they compute."""

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from encoder.data.recent_items import FIELDS, PLACES
from encoder.model.recent_items import RecentItems
from export.graphs.builder import GraphBuilder, as_float32

KEPT = len(FIELDS) - 1  # fields that an event changes; the scores are computed anew


def add_recent_items(graph: GraphBuilder, recent: RecentItems, gap_ms: str, state: str) -> str:
    """Add the recent items after an event, from item, action (B,) int64, the gaps (B, 1) int64 and their state.

    Adds recent_items (B, K) int64, -1 where a place is empty, and recent_scores (B, K) float32. Returns the name of
    their next state (B, FIELDS · K).
    """
    fields = _add_fields(graph, gap_ms, state)
    flat = graph.add("Reshape", [fields, graph.constant("flat_shape", np.array([-1, KEPT * PLACES], np.int64))], "flat")
    widths = graph.constant("field_widths", np.full(KEPT, PLACES, np.int64))
    item, action, age_s, count = graph.add_many(
        "Split", [flat, widths], [f"next_{name}" for name in FIELDS[:KEPT]], axis=1
    )
    is_filled = graph.add("Greater", [item, graph.constant("nothing", np.array(0, np.float32))], "is_filled")
    scores = _add_scores(graph, recent, action, age_s, count)
    outputs = graph.with_prefix("recent_")
    kept_scores = outputs.add(
        "Where", [is_filled, scores, graph.constant("no_score", np.array(0, np.float32))], "scores"
    )
    whole = graph.add("Cast", [item], "whole_item", to=TensorProto.INT64)
    outputs.add("Where", [is_filled, whole, graph.constant("empty", np.array(-1, np.int64))], "items")
    return graph.add("Concat", [flat, kept_scores], "next_state", axis=1)


def recent_outputs() -> list[ValueInfoProto]:
    """The step graph's outputs recent_items and recent_scores."""
    shape = ["batch", PLACES]
    return [
        helper.make_tensor_value_info("recent_items", TensorProto.INT64, shape),
        helper.make_tensor_value_info("recent_scores", TensorProto.FLOAT, shape),
    ]


def _add_fields(graph: GraphBuilder, gap_ms: str, state: str) -> str:
    """Add (B, KEPT, K) float32, the kept fields after the event."""
    column = graph.constant("column_axis", np.array([1], np.int64))
    widths = graph.constant("before_widths", np.full(len(FIELDS), PLACES, np.int64))
    names = [f"former_{name}" for name in FIELDS]
    item, action, age_s, count, _ = graph.add_many("Split", [state, widths], names, axis=1)
    new_item, new_action = (
        graph.add(
            "Cast", [graph.add("Unsqueeze", [name, column], f"{name}_column")], f"new_{name}", to=TensorProto.FLOAT
        )
        for name in ("item", "action")
    )
    zero = graph.constant("zero", np.array(0, np.float32))
    gap = graph.add("Max", [graph.add("Cast", [gap_ms], "gap", to=TensorProto.FLOAT), zero], "time")
    gap_s = graph.add("Div", [gap, graph.constant("second_ms", np.array(1000, np.float32))], "gap_s")
    filled = graph.add("Cast", [graph.add("Greater", [item, zero], "was_filled")], "filled", to=TensorProto.FLOAT)
    older = graph.add("Add", [age_s, graph.add("Mul", [filled, gap_s], "since")], "older")
    is_item = graph.add("Cast", [graph.add("Equal", [item, new_item], "is_item")], "same", to=TensorProto.FLOAT)
    counted = graph.add("Mul", [is_item, count], "counted")
    events = graph.add("ReduceSum", [counted, column], "events")
    new_count = graph.add("Add", [events, graph.constant("this_event", np.array(1, np.float32))], "new_count")
    moves = add_moves(graph, is_item, new_item, zero, PLACES)
    # The new item has the age 0 in every row. A product has the rows that a constant lacks.
    age_of_new = graph.add("Mul", [new_item, zero], "new_age_s")
    fields_shape = graph.constant("fields_shape", np.array([-1, KEPT, PLACES], np.int64))
    before = graph.add(
        "Reshape", [graph.add("Concat", [item, action, older, count], "stay_flat", axis=1), fields_shape], "stay"
    )
    newest = graph.add("Concat", [new_item, new_action, age_of_new, new_count], "newest", axis=1)
    newest = graph.add("Unsqueeze", [newest, graph.constant("place_axis", np.array([2], np.int64))], "newest_place")
    parts = graph.constant("all_but_last", np.array([PLACES - 1, 1], np.int64))
    others, _ = graph.add_many("Split", [before, parts], ["others", "oldest"], axis=2)
    moved = graph.add("Concat", [newest, others], "moved", axis=2)
    return graph.add("Where", [graph.add("Unsqueeze", [moves, column], "moves_fields"), moved, before], "fields")


def add_moves(graph: GraphBuilder, is_item: str, new_item: str, zero: str, places: int) -> str:
    """Add (B, places) bool, the places that take over the place before them when an item comes to the front.

    A place takes over up to the item's own former place. The item 0 moves nothing. is_item: (B, places) float32, 1
    where a place has the item. new_item: (B, 1) float32. zero: 0 as float32.
    """
    later_places = graph.constant("later_places", np.triu(np.ones((places, places), np.float32), 1))
    found = graph.add("MatMul", [is_item, later_places], "found_before")
    is_first = graph.add("Less", [found, graph.constant("half", np.array(0.5, np.float32))], "not_found_before")
    return graph.add("And", [is_first, graph.add("Greater", [new_item, zero], "is_known")], "moves")


def _add_scores(graph: GraphBuilder, recent: RecentItems, action: str, age_s: str, count: str) -> str:
    """Add (B, K) float32, the scores of the places, also of empty ones."""
    one = graph.constant("one", np.array(1, np.float32))
    actions = graph.constant("actions", as_float32(recent.action))
    whole_action = graph.add("Cast", [action], "whole_action", to=TensorProto.INT64)
    total = graph.add("Gather", [actions, whole_action], "of_action")
    total = graph.add("Add", [total, graph.constant("places", as_float32(recent.place))], "with_place")
    for name, value, weight in (("age", age_s, recent.age), ("count", count, recent.count)):
        # In float32, ONNX Runtime rounds a logarithm by its place in the batch. In float64, the rounding does not show.
        # See docs/decisions.md#logarithms-in-float64
        precise = graph.add("Cast", [graph.add("Add", [value, one], f"{name}_and_1")], name, to=TensorProto.DOUBLE)
        log = graph.add("Log", [precise], f"log_{name}")
        logarithm = graph.add("Cast", [log], f"log_{name}_float", to=TensorProto.FLOAT)
        part = graph.add("Mul", [logarithm, graph.constant(f"{name}_weight", as_float32(weight))], f"of_{name}")
        total = graph.add("Add", [total, part], f"with_{name}")
    return total

"""Answers as JSON. The bodies are made by msgspec, because FastAPI's own encoder costs more than a read of the row."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from fastapi import Response
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.serve.scoring.scorer import Scored
from streams.store.served_rows import ServedRow

JSON = "application/json"


def json_answer(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, dict(headers or {}), JSON)


def representation_body(user_id: str, row: ServedRow, bundle: Bundle) -> dict[str, Any]:
    """The fields of `streams.serve.routes.bodies.Representation`."""
    return {
        "user_id": user_id,
        "bundle_id": bundle.bundle_id,
        "representation": row.query[: bundle.manifest.representation_width].tolist(),
        "steps": row.steps,
        "last_time_ms": row.last_time_ms,
        "last_item": row.last_item,
        "written_at_ms": row.written_at_ms,
        "recent_items": item_names(row.seen, bundle),
        "bought_items": item_names(row.bought, bundle),
        "age_ms": max(0, int(time.time() * 1000) - row.written_at_ms),
    }


def scored_items(scored: Scored, bundle: Bundle) -> list[dict[str, Any]]:
    """The fields of `streams.serve.routes.bodies.ScoredItem` without names, one dictionary for each item."""
    names = bundle.vocabulary.items
    columns = (values.tolist() for values in (scored.item, scored.score(), *scored[1:]))
    return [
        {"item_id": names[item - 1], "score": score, "dot": dot, "repeat": repeat, "co": co, "content": content}
        for item, score, dot, repeat, co, content in zip(*columns, strict=True)
    ]


def item_names(item: NDArray[np.int64], bundle: Bundle) -> list[str]:
    """The ids of items with these indices."""
    names = bundle.vocabulary.items
    return [names[index - 1] for index in item.tolist()]


def with_names(items: list[dict[str, Any]], names: Sequence[str | None]) -> list[dict[str, Any]]:
    """Add the field `name` to the items that have a name. names: one for each item."""
    for item, name in zip(items, names, strict=True):
        if name is not None:
            item["name"] = name
    return items


def is_same(tag: str, if_none_match: str) -> bool:
    """Whether a header If-None-Match names the tag. The comparison is weak (RFC 9110, 13.1.2)."""
    given = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return tag in given or given == {"*"}


def entity_tag(bundle_id: str, row: ServedRow) -> str:
    """Changes with every event of the user."""
    return f'"{bundle_id}-{row.steps}-{row.written_at_ms}"'

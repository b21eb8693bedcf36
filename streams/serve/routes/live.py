"""The routes behind the page: a stream of messages, the map of the bundle, and what was lately seen of a user."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from numpy.typing import NDArray

from streams.serve.catalogue.filters import Mask
from streams.serve.catalogue.served import ServedCatalogue
from streams.serve.http.known_parameters import StrictRoute
from streams.serve.live.live import Live, shown_event
from streams.serve.live.seen_users import SeenUser, SeenUsers
from streams.serve.routes import live_bodies
from streams.serve.routes.answers import json_answer
from streams.serve.routes.users import UserId, described
from streams.serve.scoring.active_model import Model
from streams.serve.scoring.scorer import Scored, TopQuery

EVENT_STREAM = "text/event-stream"
RANKS_BEFORE = 500  # places of the earlier ranking that are looked at
MOST_SHOWN = 50
NO_STORE = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must not hold the stream back


def live_routes(current: Callable[[], Model], catalogue: ServedCatalogue, live: Live) -> APIRouter:
    """current: the model that answers now."""
    router = APIRouter(prefix="/v1/live", tags=["page"], route_class=StrictRoute)

    # The OpenAPI document describes answers that end, so the stream is described in docs/serving.md#the-page alone.
    @router.get("", include_in_schema=False)
    async def stream(last_event_id: Annotated[str, Header()] = "") -> Response:
        return StreamingResponse(live.open(last_event_id), media_type=EVENT_STREAM, headers=NO_STORE)

    @router.get("/map", response_model=live_bodies.Map, responses=described(503))
    async def bundle_map() -> Response:
        """The map of the active bundle: its axes, and some items on the map."""
        model = current()
        seen = await live.seen_users(model.bundle_id)
        names, plane = model.bundle.vocabulary.items, seen.projection
        items = [
            {"item_id": names[item - 1], "x": x, "y": y}
            for item, (x, y) in zip(plane.shown.tolist(), plane.ground.tolist(), strict=True)
        ]
        return json_answer({"bundle_id": model.bundle_id, "explained": list(plane.explained), "items": items})

    @router.get("/users/{user_id}", response_model=live_bodies.SeenUser, responses=described(503))
    async def user(
        user_id: UserId, k: Annotated[int, Query(ge=1, le=MOST_SHOWN, description="number of items")] = 10
    ) -> Response:
        """What was lately seen of a user: events, the vector's way on the map, and recommendations before and after.

        While the catalogue is read for the first time, the recommendations are from all items.
        """
        model = current()
        seen = await live.seen_users(model.bundle_id)
        row = await model.row(user_id)
        query, steps = (model.bundle.initial_query, 0) if row is None else (row.query, row.steps)
        found = SeenUser() if row is None else seen.of(model.stored_id(user_id))
        lists = await _lists(model, found, _Wanted(query, steps, k, catalogue.allowed_so_far(model.bundle)))
        return json_answer(
            {
                "user_id": user_id,
                "bundle_id": model.bundle_id,
                "known": row is not None,
                "events": _events(found),
                "places": [place._asdict() for place in found.places],
                **_shown_lists(model, seen, lists),
            }
        )

    return router


class _Wanted(NamedTuple):
    """What the recommendations are made from."""

    query: NDArray[np.float32]  # (Q,)
    steps: int
    most: int
    allowed: Mask | None


class _Lists(NamedTuple):
    """The recommendations after the last event, and what the vector before said of the same items."""

    steps: int
    after: Scored
    steps_before: int | None  # None where no vector of before was seen
    before: Scored | None  # the first RANKS_BEFORE
    scores_before: dict[int, float]  # by item, for the items of `after`
    shown: int


async def _lists(model: Model, found: SeenUser, wanted: _Wanted) -> _Lists:
    steps, most = wanted.steps, wanted.most
    after = await model.top(TopQuery(wanted.query, most, allowed=wanted.allowed))
    earlier = found.query_before(steps)
    if earlier is None:
        return _Lists(steps, after, None, None, {}, most)
    before = await model.top(TopQuery(earlier[1], RANKS_BEFORE, allowed=wanted.allowed))
    scored = model.scorer.some(earlier[1], after.item)
    scores = dict(zip(scored.item.tolist(), scored.score().tolist(), strict=True))
    return _Lists(steps, after, earlier[0], before, scores, most)


def _shown_lists(model: Model, seen: SeenUsers, lists: _Lists) -> dict[str, Any]:
    """The fields `before` and `after` of `streams.serve.routes.live_bodies.SeenUser`."""
    names = model.bundle.vocabulary.items
    places = seen.projection.place(np.asarray(model.bundle.item_vectors[lists.after.item])).tolist()
    ranks = {} if lists.before is None else {item: rank for rank, item in enumerate(lists.before.item.tolist(), 1)}
    after = [
        {
            "item_id": names[item - 1],
            "score": score,
            "x": x,
            "y": y,
            "score_before": lists.scores_before.get(item),
            "rank_before": ranks.get(item),
        }
        for (item, score), (x, y) in zip(_scores(lists.after), places, strict=True)
    ]
    before = None
    if lists.before is not None:
        items = [{"item_id": names[item - 1], "score": score} for item, score in _scores(lists.before)[: lists.shown]]
        before = {"steps": lists.steps_before, "items": items}
    return {"before": before, "after": {"steps": lists.steps, "items": after}}


def _scores(scored: Scored) -> list[tuple[int, float]]:
    return list(zip(scored.item.tolist(), scored.score().tolist(), strict=True))


def _events(found: SeenUser) -> list[dict[str, Any]]:
    """The newest first. An update may cover several events, and then the last of these events has the angle."""
    turned = {place.source: place.turned_degrees for place in found.places}
    return [{**shown_event(event), "turned_degrees": turned.get(event.id)} for event in reversed(found.events)]

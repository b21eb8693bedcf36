"""The routes that tell what moved a vector, and an item's score."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from numpy.typing import NDArray

from streams.commands.verify.recompute import TOLERANCE
from streams.config.errors import ThalwegError
from streams.serve.catalogue.served import ServedCatalogue
from streams.serve.explanations.effects import UserRecord, event_effects, explain_records, score_parts
from streams.serve.explanations.history import HistoryReader
from streams.serve.http.known_parameters import StrictRoute
from streams.serve.http.problems import ProblemError
from streams.serve.http.threads import called
from streams.serve.routes.answers import json_answer
from streams.serve.routes.bodies import Id
from streams.serve.routes.items import item_index
from streams.serve.routes.questions import bodies
from streams.serve.routes.session_step import judged
from streams.serve.routes.users import UserId, described, unknown_user
from streams.serve.scoring.active_model import Model
from streams.serve.scoring.scorer import Scored, TopQuery
from streams.store.served_rows import ServedRow

TIMEOUT_S = 5.0
TOO_LATE = f"the explanation took more than {TIMEOUT_S:g} s; try again"


def explanation_routes(current: Callable[[], Model], catalogue: ServedCatalogue, histories: HistoryReader) -> APIRouter:
    """current: the model that answers now."""
    router = APIRouter(prefix="/v1", tags=["questions"], route_class=StrictRoute)
    threads = ThreadPoolExecutor(1, "explanations")

    @router.get("/users/{user_id}/explanation", response_model=bodies.UserExplanation, responses=described(404, 503))
    async def explanation(
        user_id: UserId,
        item: Annotated[
            Id | None, Query(description="the item to explain (default: the first recommended one)")
        ] = None,
        events: Annotated[bool, Query(description="look for the user's events in the behaviour topic")] = True,
    ) -> Response:
        """The parts of an item's score, and what each of the user's events did to the vector and the score."""
        model = current()
        row = await model.row(user_id)
        if row is None:
            raise unknown_user(user_id, model)
        if item is None:
            index = _first(await model.top(TopQuery(row.query, 1, allowed=catalogue.allowed(model.bundle))))
        else:
            index = item_index(item, model)
        parts = await model.compute(score_parts, model.bundle, model.stepper, row.query, index)
        effects: list[dict[str, Any]] | None = None
        missing: str | None = "the request asks for no events"
        if events:
            try:
                effects, missing = await called(
                    threads, lambda: _user_effects(model, histories, user_id, row, index), TIMEOUT_S, TOO_LATE
                )
            except ProblemError as problem:
                missing = problem.detail
        who = {"user_id": user_id, "steps": row.steps}
        parts |= _other_parts(model, row.query, index)
        return json_answer({**who, **parts, "events": effects, "events_missing": missing})

    _add_session(router, current, catalogue, threads)
    return router


def _add_session(
    router: APIRouter, current: Callable[[], Model], catalogue: ServedCatalogue, threads: Executor
) -> None:
    @router.post("/explanation", response_model=bodies.SessionExplanation, responses=described(404, 409, 413, 503))
    async def session_explanation(wanted: bodies.EventsToExplain) -> Response:
        """What each event of a session without history did to the vector and an item's score. Nothing is stored."""
        model = current()
        bundle = model.bundle
        index = None if wanted.item_id is None else item_index(wanted.item_id, model)
        allowed = catalogue.allowed(bundle) if index is None else None
        records = [UserRecord(place, one.event_time_ms, one) for place, one in enumerate(judged(wanted.events))]

        def first(query: NDArray[np.float32]) -> int:
            return _first(model.scorer.top([TopQuery(query, 1, allowed=allowed)])[0])

        def explained() -> dict[str, Any]:
            item = first if index is None else index
            applied = explain_records(bundle, model.stepper, records, item, bodies.MOST_EXPLAINED)
            parts = score_parts(bundle, model.stepper, applied.query, applied.explanation.item)
            parts |= _other_parts(model, applied.query, applied.explanation.item)
            return {**parts, "steps": applied.steps, "events": event_effects(bundle, applied)}

        return json_answer(await called(threads, explained, TIMEOUT_S, TOO_LATE))


def _first(recommended: Scored) -> int:
    """The index of the first of these items. Raises ProblemError where there is none."""
    if not len(recommended.item):
        detail = "no item of the catalogue is available: give `item`, or `item_id` in a body"
        raise ProblemError(404, "no-item", "No item to explain", detail)
    return int(recommended.item[0])


def _other_parts(model: Model, query: NDArray[np.float32], item: int) -> dict[str, float]:
    """The whole score of an item in the scenario `home`, and its parts besides the model's part. query: (Q,)."""
    scored = model.scorer.some(query, np.array([item], np.int64))
    return {"score": float(scored.score()[0]), "co": float(scored.co[0]), "content": float(scored.content[0])}


def _user_effects(
    model: Model, histories: HistoryReader, user_id: str, row: ServedRow, item: int
) -> tuple[list[dict[str, Any]] | None, str | None]:
    """The effects of a stored user's events, or why there are none. Blocks.

    The events count only where they give the stored vector. So an answer never explains another history than the row's.
    """
    bundle = model.bundle
    try:
        records = histories.read(model.stored_id(user_id), bundle.bundle_id, row.steps)
    except ThalwegError as error:
        return None, str(error)
    applied = explain_records(
        bundle, model.stepper, records, item, bodies.MOST_EXPLAINED, row.steps, histories.user_ttl_ms
    )
    if applied.steps != row.steps or not np.abs(applied.query - row.query).max() <= TOLERANCE:
        reason = (
            f"the events in the topic do not give the stored vector after {row.steps} events: events were applied "
            "meanwhile (ask again), or the topic has lost the user's first ones"
        )
        return None, reason
    return event_effects(bundle, applied), None

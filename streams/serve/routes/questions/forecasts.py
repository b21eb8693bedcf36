"""The routes about what a user does next: churn, and the next event."""

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response

from encoder.data.contract.incoming_event import MAX_TIME_MS
from export.runtime.predictions import Predictions
from streams.serve.http.known_parameters import StrictRoute
from streams.serve.http.problems import ProblemError
from streams.serve.routes.answers import json_answer
from streams.serve.routes.questions import bodies
from streams.serve.routes.users import UserId, described, unknown_user
from streams.serve.scoring.active_model import Model
from streams.serve.scoring.forecast import action_probabilities, churn_probability, named_action, time_quantiles
from streams.store.served_rows import ServedRow

AtMs = Annotated[
    int | None,
    Query(ge=0, le=MAX_TIME_MS, description="the moment from which the answer looks ahead (default: now)"),
]


def forecast_routes(current: Callable[[], Model]) -> APIRouter:
    """current: the model that answers now."""
    router = APIRouter(prefix="/v1", tags=["questions"], route_class=StrictRoute)

    @router.get("/users/{user_id}/churn", response_model=bodies.Churn, responses=described(404, 503))
    async def churn(
        user_id: UserId,
        days: Annotated[float, Query(gt=0, le=bodies.MOST_DAYS, allow_inf_nan=False, description="days from `at_ms`")],
        at_ms: AtMs = None,
    ) -> Response:
        """The probability that the user has no event within some days, after the time that has already passed."""
        model = current()
        row, predicted = await _foreseen(user_id, model)
        moment = _moment(row, at_ms)
        probability = churn_probability(predicted.time_mixture[0], moment["waited_ms"], days)
        who = {"user_id": user_id, "bundle_id": model.bundle_id}
        return json_answer({**who, "days": days, "probability": probability, **moment})

    @router.get("/users/{user_id}/next", response_model=bodies.NextEvent, responses=described(404, 503))
    async def next_event(user_id: UserId, at_ms: AtMs = None) -> Response:
        """The probabilities of the next action, and quantiles of the time to it, after the time that has passed."""
        model = current()
        row, predicted = await _foreseen(user_id, model)
        moment = _moment(row, at_ms)
        names, probability = model.bundle.vocabulary.actions, predicted.action_probability[0]
        actions = action_probabilities(probability, names)
        return json_answer(
            {
                "user_id": user_id,
                "bundle_id": model.bundle_id,
                "action": named_action(probability, names, model.bundle.manifest.action_offsets),
                "actions": [{"action": name, "probability": value} for name, value in actions],
                "other_action": float(probability[0]),
                "times": [found._asdict() for found in time_quantiles(predicted.time_mixture[0], moment["waited_ms"])],
                **moment,
            }
        )

    return router


async def _foreseen(user_id: str, model: Model) -> tuple[ServedRow, Predictions]:
    """The row of a user, and what the heads predict. Raises ProblemError."""
    if not model.bundle.manifest.heads:
        detail = (
            f"bundle {model.bundle_id} has no heads for the next action and the time to it: train with heads, which is "
            "the default of `thalweg train`, and export the model again"
        )
        raise ProblemError(404, "no-heads", "The bundle predicts no next event", detail)
    row = await model.row(user_id)
    if row is None:
        raise unknown_user(user_id, model)
    return row, await model.foresee(row.query)


def _moment(row: ServedRow, at_ms: int | None) -> dict[str, int]:
    """The moment of the question, and the time without an event up to then, as fields of the answers.

    A moment before the user's latest event counts as the moment of this event, because the row knows the event.
    """
    at_ms = int(time.time() * 1000) if at_ms is None else at_ms
    waited_ms = max(0, at_ms - row.last_time_ms)
    return {"steps": row.steps, "last_time_ms": row.last_time_ms, "at_ms": at_ms, "waited_ms": waited_ms}

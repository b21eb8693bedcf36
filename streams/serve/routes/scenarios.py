"""The scenarios of recommendations: what a request asks for, and from which items the scores are counted."""

import time
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from streams.serve.http.problems import ProblemError
from streams.serve.routes import bodies
from streams.serve.routes.session_step import step_events
from streams.serve.scoring.active_model import Model

ScenarioName = Annotated[
    Literal["home", "cart", "new"],
    Field(
        description="home: what the user wants next; cart: what goes with a basket; new: as home, among items that "
        "were first seen within `new_days`, or within 7 days"
    ),
]
GivenItems = Annotated[
    Sequence[bodies.Id],
    Field(
        max_length=bodies.MOST_EXCLUDED,
        description="items to find others for, such as those of a basket, the newest first; without them, the user's "
        "recent items; may stand again",
    ),
]


def indices_of(items: Sequence[str], model: Model) -> list[int] | None:
    """The indices of given items, each once, in order. None where none are given.

    Raises ProblemError for an item that the bundle does not know.
    """
    index = model.bundle.item_index
    unknown = [item for item in dict.fromkeys(items) if item not in index]
    if unknown:
        names = ", ".join(map(repr, unknown))
        detail = f"bundle {model.bundle_id} does not know these of the given items: {names}; leave them out"
        raise ProblemError(404, "unknown-item", "Unknown item", detail)
    return [index[item] for item in dict.fromkeys(items)] or None


async def query_after(items: Sequence[int], model: Model) -> NDArray[np.float32]:
    """The (Q,) query of an unknown user after events of these items, the newest first, as `POST /v1/step` gives it.

    The events have the most frequent action of the training, and the present time.
    """
    vocabulary, now_ms = model.bundle.vocabulary, int(time.time() * 1000)
    events = [
        bodies.Event(item_id=vocabulary.items[item - 1], action=vocabulary.actions[0], event_time_ms=now_ms)
        for item in reversed(items)
    ]
    query, _ = await model.compute_long(step_events, model.bundle, model.stepper, events)
    return query

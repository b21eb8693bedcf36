"""The routes about items, and about events that are not stored."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Response

from streams.serve.catalogue.served import ServedCatalogue
from streams.serve.http.known_parameters import StrictRoute
from streams.serve.http.problems import ProblemError
from streams.serve.routes import bodies
from streams.serve.routes.answers import json_answer, scored_items, with_names
from streams.serve.routes.session_step import step_events
from streams.serve.routes.users import ItemId, described
from streams.serve.scoring.active_model import Model
from streams.serve.scoring.scorer import TopQuery


def item_routes(current: Callable[[], Model], catalogue: ServedCatalogue) -> APIRouter:
    """current: the model that answers now."""
    router = APIRouter(prefix="/v1", tags=["items"], route_class=StrictRoute)

    @router.get("/items/{item_id}/similar", response_model=bodies.SimilarItems, responses=described(404, 503))
    async def similar(
        item_id: ItemId,
        k: Annotated[int, Query(ge=1, le=bodies.MOST_ITEMS, description="number of items")] = 20,
    ) -> Response:
        """The available items whose vectors point most nearly the same way."""
        model = current()
        found, cosine = await model.similar(item_index(item_id, model), k, catalogue.allowed(model.bundle))
        item_ids = model.bundle.vocabulary.items
        items = [
            {"item_id": item_ids[item - 1], "cosine": value}
            for item, value in zip(found.tolist(), cosine.tolist(), strict=True)
        ]
        items = with_names(items, catalogue.names(model.bundle, found))
        return json_answer({"item_id": item_id, "bundle_id": model.bundle_id, "items": items})

    @router.post("/step", response_model=bodies.Stepped, responses=described(409, 413, 503), tags=["sessions"])
    async def step(wanted: bodies.Events) -> Response:
        """The vector and the best items after these events, which are not stored.

        The events are those of one session without history, in order.
        """
        model = current()
        query, steps = await model.compute_long(step_events, model.bundle, model.stepper, wanted.events)
        scored = await model.top(TopQuery(query, wanted.k, allowed=catalogue.allowed(model.bundle)))
        return json_answer(
            {
                "bundle_id": model.bundle_id,
                "representation": query[: model.bundle.manifest.representation_width].tolist(),
                "steps": steps,
                "unknown_items": _unknown((event.item_id for event in wanted.events), model.bundle.item_index),
                "unknown_actions": _unknown((event.action for event in wanted.events), model.bundle.action_index),
                "items": with_names(scored_items(scored, model.bundle), catalogue.names(model.bundle, scored.item)),
            }
        )

    return router


def _unknown(names: Iterable[str], index: Mapping[str, int]) -> list[str]:
    """The names that are not in the index, each once, in their order."""
    return [name for name in dict.fromkeys(names) if name not in index]


def item_index(item_id: str, model: Model) -> int:
    """The index of an item in the bundle. Raises ProblemError for an item that the bundle does not know."""
    index = model.bundle.item_index.get(item_id)
    if index is None:
        detail = (
            f"item {item_id!r} is not in the catalogue of bundle {model.bundle_id}; `thalweg export --items` adds "
            "items to a bundle"
        )
        raise ProblemError(404, "unknown-item", "Unknown item", detail)
    return index

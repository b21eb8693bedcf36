"""The routes of the catalogue."""

from collections.abc import Callable

from fastapi import APIRouter, Response

from streams.serve.catalogue.served import ServedCatalogue
from streams.serve.http.known_parameters import StrictRoute
from streams.serve.http.problems import ProblemError
from streams.serve.routes import catalogue_bodies
from streams.serve.routes.answers import json_answer
from streams.serve.routes.users import ItemId, described
from streams.serve.scoring.active_model import Model


def catalogue_routes(current: Callable[[], Model], catalogue: ServedCatalogue) -> APIRouter:
    """current: the model that answers now."""
    router = APIRouter(prefix="/v1", tags=["items"], route_class=StrictRoute)

    @router.get("/catalogue", response_model=catalogue_bodies.CatalogueStatus, responses=described())
    async def status() -> Response:
        """How far the reading of the catalogue is."""
        progress = catalogue.progress
        items = progress.catalogue.items
        body = {"state": progress.state, "items": items, "lag_records": progress.lag_records, "broken": progress.broken}
        return json_answer(body)

    @router.get("/items/{item_id}", response_model=catalogue_bodies.Item, responses=described(404, 503))
    async def item(
        item_id: ItemId,
    ) -> Response:
        """What the catalogue says of an item."""
        model = current()
        found = catalogue.get(item_id)
        is_known = item_id in model.bundle.item_index
        if found is None:
            detail = (
                f"item {item_id!r} is not in the catalogue of items, and bundle {model.bundle_id} "
                f"{'knows' if is_known else 'does not know'} the item; `thalweg items` adds items to the catalogue"
            )
            raise ProblemError(404, "unknown-item", "Unknown item", detail)
        fields = {field: getattr(found, field) for field in found.__struct_fields__}
        return json_answer({**fields, "bundle_id": model.bundle_id, "known_to_bundle": is_known})

    return router

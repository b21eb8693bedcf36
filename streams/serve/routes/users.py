"""The routes about users."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from urllib.parse import unquote

import numpy as np
from fastapi import APIRouter, Depends, Header, Path, Response
from pydantic import BeforeValidator, Field

from streams.serve.catalogue.filters import Filters
from streams.serve.catalogue.served import ServedCatalogue
from streams.serve.http.known_parameters import StrictRoute
from streams.serve.http.problems import ProblemError
from streams.serve.http.query_model import documented, query_of
from streams.serve.routes import bodies
from streams.serve.routes.answers import entity_tag, is_same, json_answer, representation_body, scored_items, with_names
from streams.serve.routes.catalogue_bodies import ItemFilters
from streams.serve.routes.scenarios import GivenItems, ScenarioName, indices_of, query_after
from streams.serve.scoring.active_model import Model
from streams.serve.scoring.fresh_items import FRESH_DAYS, PLACES_OF_A_FRESH_ITEM, with_fresh
from streams.serve.scoring.scorer import Scored, TopQuery
from streams.store.served_rows import ServedRow


def decoded(text: str) -> str:
    """An id as it stood in the path. The path is matched before it is decoded, so an id may hold a slash as %2F."""
    return unquote(text, errors="strict")


UserId = Annotated[bodies.Id, BeforeValidator(decoded), Path(description="the user; a slash in the id is %2F")]
ItemId = Annotated[bodies.Id, BeforeValidator(decoded), Path(description="the item; a slash in the id is %2F")]
Problems = dict[int | str, dict[str, Any]]


def described(*statuses: int) -> Problems:
    """The problems of a route for the OpenAPI document."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    texts = {
        401: "no valid token",
        403: "no such right, or no name of the server",
        404: "unknown",
        413: "too large",
        422: "invalid request",
    }
    texts |= {
        400: "no HTTP, or a head that is too long",
        429: "too many requests",
        409: "the request does not fit the active bundle, or an event is of the future",
        503: "a service does not answer; try again after Retry-After",
    }
    return {
        status: {"description": texts[status], "content": content} for status in (*statuses, 400, 401, 403, 422, 429)
    }


def user_routes(current: Callable[[], Model], catalogue: ServedCatalogue) -> APIRouter:
    """current: the model that answers now."""
    router = APIRouter(prefix="/v1", tags=["users"], route_class=StrictRoute)

    @router.get(
        "/users/{user_id}/representation",
        response_model=bodies.Representation,
        responses={304: {"description": "unchanged since the given ETag"}, **described(404, 503)},
    )
    async def representation(user_id: UserId, if_none_match: Annotated[str | None, Header()] = None) -> Response:
        """The vector of one user. The ETag changes with every event of the user."""
        model = current()
        row = await model.row(user_id)
        if row is None:
            raise unknown_user(user_id, model)
        tag = entity_tag(model.bundle_id, row)
        if if_none_match is not None and is_same(tag, if_none_match):
            return Response(status_code=304, headers={"ETag": tag})
        return json_answer(representation_body(user_id, row, model.bundle), headers={"ETag": tag})

    @router.post("/representations", response_model=bodies.Representations, responses=described(413, 503))
    async def representations(wanted: bodies.Users) -> Response:
        """The vectors of up to 1,000 users."""
        model = current()
        rows = await model.rows(wanted.user_ids)
        pairs = list(zip(wanted.user_ids, rows, strict=True))
        return json_answer(
            {
                "bundle_id": model.bundle_id,
                "representations": [
                    representation_body(user_id, row, model.bundle) for user_id, row in pairs if row is not None
                ],
                "unknown": [user_id for user_id, row in pairs if row is None],
            }
        )

    _add_scores(router, current, catalogue)
    _add_ranks(router, current, catalogue)
    return router


class WantedItems(ItemFilters):
    """The query parameters of recommendations."""

    k: Annotated[int, Field(ge=1, le=bodies.MOST_ITEMS, description="number of items")] = 20
    exclude: Annotated[
        Sequence[bodies.Id],
        Field(max_length=bodies.MOST_EXCLUDED, description="item to leave out; may stand again"),
    ] = ()
    exclude_recent: Annotated[bool, Field(description="leave out the user's last distinct items")] = False
    exclude_bought: Annotated[bool, Field(description="leave out the last items that the user bought")] = False
    scenario: ScenarioName = "home"
    items: GivenItems = ()


def _add_scores(router: APIRouter, current: Callable[[], Model], catalogue: ServedCatalogue) -> None:
    @router.get(
        "/users/{user_id}/recommendations",
        response_model=bodies.Recommendations,
        responses=described(404, 409, 503),
        openapi_extra=documented(WantedItems),
    )
    async def recommendations(
        user_id: UserId, wanted: Annotated[WantedItems, Depends(query_of(WantedItems))]
    ) -> Response:
        """The best available items for a user. A user without a row gets those of a new user, with fresh ones, or what
        goes with given items.
        """
        model = current()
        context = indices_of(wanted.items, model)
        row = await model.row(user_id)
        query = _query(row, model) if row or context is None else await query_after(context, model)
        index = model.bundle.item_index
        left_out = [*(context or ()), *(index[item] for item in wanted.exclude if item in index)]
        if wanted.exclude_recent:
            left_out += model.scorer.recent(query)
        if wanted.exclude_bought:
            left_out += _bought(row, model)
        filters = wanted.filters()
        if wanted.scenario == "new" and filters.new_days is None:
            filters = filters._replace(new_days=FRESH_DAYS)
        asked = TopQuery(query, wanted.k, left_out, catalogue.allowed(model.bundle, filters), wanted.scenario, context)
        scored = await model.top(asked)
        if row is None and wanted.scenario == "home" and context is None:
            scored = await _with_fresh_items(scored, asked, model, catalogue, filters)
        items = with_names(scored_items(scored, model.bundle), catalogue.names(model.bundle, scored.item))
        return json_answer({**_who(user_id, row, model), "items": items})


def _add_ranks(router: APIRouter, current: Callable[[], Model], catalogue: ServedCatalogue) -> None:
    @router.post("/rank", response_model=bodies.Ranking, responses=described(413, 503))
    async def rank(wanted: bodies.Candidates) -> Response:
        """Up to 5,000 given items in the order of their scores. An item that the bundle does not know is left out."""
        model = current()
        row = await model.row(wanted.user_id)
        index = model.bundle.item_index
        known = [index[item] for item in dict.fromkeys(wanted.item_ids) if item in index]
        scored = model.scorer.some(_query(row, model), np.array(known, np.int64))
        who = _who(wanted.user_id, row, model)
        del who["steps"]
        unknown = [item for item in dict.fromkeys(wanted.item_ids) if item not in index]
        items = with_names(scored_items(scored, model.bundle), catalogue.names(model.bundle, scored.item))
        return json_answer({**who, "items": items, "unknown_items": unknown})


async def _with_fresh_items(
    best: Scored, wanted: TopQuery, model: Model, catalogue: ServedCatalogue, filters: Filters
) -> Scored:
    """The best items with a few fresh ones among them, where the catalogue says which items are fresh."""
    places = len(best.item) // PLACES_OF_A_FRESH_ITEM
    if not places or wanted.allowed is None:
        return best
    days = min(filters.new_days or FRESH_DAYS, FRESH_DAYS)
    allowed = catalogue.allowed(model.bundle, filters._replace(new_days=days))
    return with_fresh(best, await model.top(wanted._replace(most=places, allowed=allowed)))


def _query(row: ServedRow | None, model: Model) -> Any:
    return model.bundle.initial_query if row is None else row.query


def _bought(row: ServedRow | None, model: Model) -> list[int]:
    """The indices of the last items that the user bought.

    Raises ProblemError where the bundle knows no purchase: the answer would hold what the user has.
    """
    if not model.bundle.manifest.bought_places:
        detail = (
            f"exclude_bought: bundle {model.bundle_id} knows no purchases; `thalweg export --purchase-actions` names "
            "the actions that buy an item"
        )
        raise ProblemError(409, "no-purchases", "The bundle knows no purchases", detail)
    return [] if row is None else row.bought.tolist()


def _who(user_id: str, row: ServedRow | None, model: Model) -> dict[str, Any]:
    steps = 0 if row is None else row.steps
    return {"user_id": user_id, "bundle_id": model.bundle_id, "known": row is not None, "steps": steps}


def unknown_user(user_id: str, model: Model) -> ProblemError:
    """The problem of a user without a row."""
    detail = (
        f"user {user_id!r} has no row of bundle {model.bundle_id}: no event of the user was applied, or the user was "
        "erased; ask for recommendations, which exist for every user"
    )
    return ProblemError(404, "unknown-user", "Unknown user", detail)

"""The route that finds the nearest users of a user."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Query, Response
from numpy.typing import NDArray

from streams.serve.http.known_parameters import StrictRoute
from streams.serve.http.problems import ProblemError
from streams.serve.lookalikes.follower import LookalikeFollower
from streams.serve.lookalikes.index import LookalikeIndex
from streams.serve.routes.answers import json_answer
from streams.serve.routes.questions import bodies
from streams.serve.routes.users import UserId, described, unknown_user
from streams.serve.scoring.active_model import Model
from streams.serve.scoring.batcher import Batcher
from streams.serve.scoring.directions import directions
from streams.store.served_rows import ServedRow

SPARE = 10  # users that the index gives beside those wanted, because some may have been erased or have moved away
QUERIES_PER_SEARCH = 16


def lookalike_routes(current: Callable[[], Model], follower: LookalikeFollower | None) -> APIRouter:
    """current: the model that answers now. follower: None where the server keeps no index."""
    router = APIRouter(prefix="/v1", tags=["questions"], route_class=StrictRoute)
    search = _Search()

    @router.get("/users/{user_id}/lookalikes", response_model=bodies.Lookalikes, responses=described(404, 503))
    async def lookalikes(
        user_id: UserId,
        k: Annotated[int, Query(ge=1, le=bodies.MOST_LOOKALIKES, description="number of users")] = 20,
    ) -> Response:
        """The users whose representations point most nearly the same way, without the components that count events.

        The users come from an index. Their rows are read again, so the cosines are those of the vectors of now, and an
        erased user is never among them. Where user ids are stored as pseudonyms, the answer has pseudonyms.
        """
        model = current()
        if follower is None:
            detail = "this server keeps no index of users: start `thalweg serve` with --lookalikes"
            raise ProblemError(404, "no-lookalikes", "The server keeps no index of users", detail)
        row = await model.row(user_id)
        if row is None:
            raise unknown_user(user_id, model)
        index, age_ms = follower.indexes[model.bundle_id], follower.age_ms
        if age_ms is None:
            detail = (
                f"the index of users is being built: {len(index)} users so far, and {follower.records_behind} updates "
                "of the topic are known to be missing"
            )
            raise ProblemError(503, "index-not-ready", "The index is being built", detail, {"Retry-After": "1"})
        own_id = model.stored_id(user_id)
        found = [one for one in await search.nearest(_Wanted(index, row.query, k + 1 + SPARE)) if one != own_id]
        rows = dict(zip(found, await model.rows(found), strict=True))
        users = nearest_rows(row, {user: one for user, one in rows.items() if one is not None}, index.width, k)
        return json_answer(
            {
                "user_id": user_id,
                "bundle_id": model.bundle_id,
                "users": users,
                "index_age_ms": age_ms,
                "index_records_behind": follower.records_behind,
                "index_users": len(index),
                "index_is_full": index.is_full,
            }
        )

    return router


def nearest_rows(row: ServedRow, rows: dict[str, ServedRow], width: int, count: int) -> list[dict[str, Any]]:
    """The `count` of these users with the highest cosine, as of `bodies.Lookalike`. width: components that count."""
    if not rows:
        return []
    query = np.stack([one.query[:width] for one in rows.values()])
    cosine = directions(query) @ directions(row.query[None, :width])[0]
    pairs = sorted(zip(rows, cosine.tolist(), strict=True), key=lambda pair: -pair[1])
    return [{"user_id": user_id, "cosine": value} for user_id, value in pairs[:count]]


class _Wanted(NamedTuple):
    """A search for some nearest users of a (R,) representation, which may have a query's other numbers behind it."""

    users: LookalikeIndex
    query: NDArray[np.float32]
    most: int


class _Search:
    """Searches in a thread of its own, so that a long search delays no score. Questions that wait share a search."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, "lookalikes")
        self._batcher: Batcher[_Wanted, list[str]] = Batcher(self._run, QUERIES_PER_SEARCH)

    async def nearest(self, wanted: _Wanted) -> list[str]:
        """The users, the nearest first."""
        return await self._batcher.submit(wanted)

    async def _run(self, asked: Sequence[_Wanted]) -> list[list[str]]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _nearest, asked)


def _nearest(asked: Sequence[_Wanted]) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in asked]
    for index in {id(one.users): one.users for one in asked}.values():  # two only while the active bundle changes
        places = [place for place, one in enumerate(asked) if one.users is index]
        count = max(asked[place].most for place in places)
        nearest = index.nearest([asked[place].query for place in places], count)
        for place, one in zip(places, nearest, strict=True):
            found[place] = one.user_id[: asked[place].most]
    return found

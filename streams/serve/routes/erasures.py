"""The routes that forget a user."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Response

from streams.commands.erase.erasure import Erasure, Sent
from streams.config.errors import InputError, ThalwegError
from streams.serve.http.known_parameters import StrictRoute
from streams.serve.http.problems import ProblemError, unavailable
from streams.serve.http.threads import called
from streams.serve.routes import bodies
from streams.serve.routes.answers import json_answer
from streams.serve.routes.users import UserId, described

T = TypeVar("T")
TIMEOUT_S, THREADS = 5.0, 4
Place = Annotated[str, Query(pattern=r"^[0-9]{1,6}:[0-9]{1,18}$")]


def erasure_routes(erasure_of: Callable[[str], Erasure]) -> APIRouter:
    """erasure_of: the erasure of a user. Raises InputError for a text that no user can have as an id."""
    router = APIRouter(prefix="/v1", tags=["erasures"], route_class=StrictRoute)
    threads = ThreadPoolExecutor(THREADS, "erasures")

    @router.delete("/users/{user_id}", status_code=202, response_model=bodies.ErasureSent, responses=described(503))
    async def erase(user_id: UserId) -> Response:
        """Send an erasure. Needs a token with the scope admin. The answer says where to ask whether it is done."""
        sent = await _called(threads, lambda: erasure_of(user_id).send())
        places = [("at", f"{partition}:{offset}") for partition, offset in sent.at.items()]
        places += [("end", f"{partition}:{offset}") for partition, offset in sent.ends.items()]
        path = f"/v1/users/{quote(user_id, safe='')}/erasure?{urlencode(places)}"
        at = {str(partition): offset for partition, offset in sent.at.items()}
        return json_answer({"user_id": user_id, "at": at, "status": path}, 202, {"Location": path})

    @router.get("/users/{user_id}/erasure", response_model=bodies.ErasureStatus, responses=described(503))
    async def erasure(
        user_id: UserId,
        at: Annotated[list[Place], Query(description="PARTITION:OFFSET of the erasure; may stand again")],
        end: Annotated[list[Place], Query(description="PARTITION:OFFSET that workers must have passed")],
    ) -> Response:
        """Whether every bundle has forgotten the user. The address is the `Location` of the erasure.

        The places are not checked: with others than those of an erasure, the answer says nothing.
        """
        sent = Sent(_places(at), _places(end), (), "")
        verdict = await _called(threads, lambda: erasure_of(user_id).wait(sent, 0))
        return json_answer({"user_id": user_id, "is_forgotten": verdict.is_proven, "bundles": list(verdict.lines)})

    return router


async def _called(threads: Executor, call: Callable[[], T]) -> T:
    """Call in a thread of the erasures. Kafka and Cassandra may take long, and then the answer is a problem."""
    too_late = (
        f"Kafka or Cassandra did not answer within {TIMEOUT_S:g} s; send the request again, which does no harm where "
        "the erasure was sent after all"
    )
    try:
        return await called(threads, call, TIMEOUT_S, too_late)
    except ProblemError:
        raise
    except InputError as error:
        raise ProblemError(422, "invalid-request", "Not a user id", str(error)) from None
    except ThalwegError as error:
        raise unavailable(str(error)) from None


def _places(texts: list[str]) -> dict[int, int]:
    pairs = (text.split(":") for text in texts)
    return {int(partition): int(offset) for partition, offset in pairs}

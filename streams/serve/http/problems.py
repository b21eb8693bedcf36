"""Problems as answers: `application/problem+json` of RFC 9457.

The type of a problem is a word that a program can compare. The detail names the value, where the value stood and what
to do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from encoder.errors import ThalwegError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
SHOWN_CHARACTERS = 80  # of a value that a problem repeats


class ProblemError(ThalwegError):
    """An answer that is not the wanted one."""

    def __init__(self, status: int, kind: str, title: str, detail: str, headers: Mapping[str, str] | None = None):
        """kind: the type of the problem, a word."""
        super().__init__(detail)
        self.status, self.kind, self.title, self.detail = status, kind, title, detail
        self.headers = dict(headers or {})
        self.retryable = status in (429, 503)


def unavailable(detail: str) -> ProblemError:
    """A service behind the API does not answer now. The same request may succeed later."""
    return ProblemError(503, "unavailable", "A service does not answer", detail, {"Retry-After": str(RETRY_AFTER_S)})


def problem_response(problem: ProblemError) -> Response:
    """The answer that tells of a problem."""
    body = {"type": problem.kind, "title": problem.title, "status": problem.status, "detail": problem.detail}
    return Response(msgspec.json.encode(body), problem.status, {**problem.headers}, MEDIA_TYPE)


async def on_problem(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, ProblemError), "the application registers this handler for problems"
    return problem_response(problem)


async def on_http_exception(_: Request, error: Exception) -> Response:
    """A path that does not exist, or a method that a path does not have."""
    assert isinstance(error, HTTPException), "the application registers this handler for exceptions of HTTP"
    if error.status_code == 400:  # a body that is no text
        title = "The body cannot be read"
        return problem_response(ProblemError(422, "invalid-request", title, "send a body of JSON in UTF-8"))
    kind = {404: "no-such-path", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
    title = str(error.detail)
    detail = f"{title}: /openapi.json lists the paths and their methods"
    return problem_response(ProblemError(error.status_code, kind, title, detail, error.headers))


async def on_error(request: Request, _: Exception) -> Response:
    """A fault of the server. The log has the error under the id of the request."""
    detail = f"the log of the server has the reason under request {request.scope['thalweg_request_id']}"
    return problem_response(ProblemError(500, "error", "The server failed", detail))


async def on_invalid_request(_: Request, error: Exception) -> Response:
    """A parameter or a body that breaks the rules of the OpenAPI document."""
    assert isinstance(error, RequestValidationError), "the application registers this handler for invalid requests"
    detail = "; ".join(map(_described, error.errors()))
    return problem_response(
        ProblemError(422, "invalid-request", "The request breaks the rules of its document", detail)
    )


def _described(error: Mapping[str, Any]) -> str:
    """Where the value stood, what is wrong with the value, and the value itself."""
    where = ".".join(map(str, _place(error["loc"])))
    if error["loc"] == ("body",) and isinstance(error.get("input"), bytes):
        return "body: send JSON with the header Content-Type: application/json"
    value = repr(error.get("input"))
    shown = value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}..."
    return f"{where}: {error['msg']} (got {shown})"


def _place(location: Sequence[Any]) -> Sequence[Any]:
    return location if len(location) > 1 else (*location, "value")

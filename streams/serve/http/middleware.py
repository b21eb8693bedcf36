"""What happens to every request before and after its route: an id, the caller, limits, metrics and a line in the log.

The log and the metrics name the route, and never the path, because a path holds user ids.
"""

import contextlib
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from streams.serve.http.hosts import check_host
from streams.serve.http.problems import ProblemError, problem_response
from streams.serve.http.tokens import Caller, Tokens

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 1024 * 1024
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})  # these need no token and tell nothing of users
PAGE_PATH = "/page/"  # what stands below are the files of the page, which need no token either
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})  # others are "other" in metrics
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
WRITING_METHODS = frozenset({"DELETE"})  # these need the scope admin


class ServingMetrics:
    """The Prometheus metrics of the API, by route."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "thalweg_api_requests", "Answered requests", ("route", "method", "status", "caller"), registry=registry
        )
        self.seconds = Histogram(
            "thalweg_api_request_seconds", "Time of a request", ("route",), buckets=BUCKETS_S, registry=registry
        )


class _HeadAnsweredError(Exception):
    """The head of an answer to HEAD has left, and the route would go on with a body that nobody reads."""


class _Bucket:
    """A token bucket: the requests that a caller has left. It holds one second of requests."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._size = max(1.0, per_s)
        self._left, self._filled_s = self._size, time.monotonic()

    def take(self) -> bool:
        """Take one request, and return whether one was left."""
        now_s = time.monotonic()
        self._left = min(self._size, self._left + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Gate:
    """The ASGI application around the API."""

    def __init__(self, application: Application, tokens: Tokens | None, metrics: ServingMetrics) -> None:
        """tokens: None where every request is allowed, which is only so on a loopback address."""
        self._application = application
        self._tokens = tokens
        self._metrics = metrics
        self._buckets: dict[Caller, _Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began_s, status, route = time.perf_counter(), 500, "refused"
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id", b""))
        caller = ""
        inner = _inner(scope, request_id)

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            if inner["method"] != scope["method"] and message["type"] == "http.response.body":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                raise _HeadAnsweredError
            await send(message)

        try:
            found = self._caller(scope, headers)
            caller = "" if found is None else found.name
            if found is not None:
                self._check_rights(scope, found)
            if scope["method"] in METHODS_WITH_BODY:
                receive = await _read_body(receive, headers)
            route = "none"
            await self._application(inner, receive, sent)
        except ProblemError as problem:
            with contextlib.suppress(_HeadAnsweredError):
                await problem_response(problem)(scope, receive, sent)
        except _HeadAnsweredError:
            pass
        except Exception:  # The application has answered with `on_error`, and raises the error for the log.
            logger.exception("request %s failed", request_id.decode())
        finally:
            passed_s = time.perf_counter() - began_s
            route = getattr(inner.get("route"), "path", route)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(route, method, status, caller).inc()
            self._metrics.seconds.labels(route).observe(passed_s)
            logger.info("%s %s %d %.1f ms %s %s", method, route, status, passed_s * 1000, caller, request_id.decode())

    def _caller(self, scope: Scope, headers: dict[bytes, bytes]) -> Caller | None:
        """Who sends the request, None where nobody has to say so.

        Raises ProblemError without a valid token, and on a server without tokens under a name of another site.
        """
        if self._tokens is None:
            check_host(headers.get(b"host", b""))
            return None
        if scope["path"] in OPEN_PATHS or scope["path"].startswith(PAGE_PATH):
            return None
        caller = self._tokens.caller(headers.get(b"authorization", b"").decode("latin-1"))
        if caller is None:
            detail = "send the header `Authorization: Bearer TOKEN` with a token of the server's file of tokens"
            raise ProblemError(401, "unauthorized", "No valid token", detail, {"WWW-Authenticate": "Bearer"})
        return caller

    def _check_rights(self, scope: Scope, caller: Caller) -> None:
        """Raises ProblemError where the caller may not send this request, or sends too many."""
        needed = "admin" if scope["method"] in WRITING_METHODS else "read"
        if needed not in caller.scopes:
            detail = f"token {caller.name!r} has the scopes {', '.join(caller.scopes)}, and this request needs {needed}"
            raise ProblemError(403, "forbidden", "The token has no such right", detail)
        if caller.requests_per_s is not None:
            bucket = self._buckets.setdefault(caller, _Bucket(caller.requests_per_s))
            if not bucket.take():
                detail = f"token {caller.name!r} may send {caller.requests_per_s:g} requests/s; send fewer"
                raise ProblemError(429, "too-many-requests", "Too many requests", detail, {"Retry-After": "1"})


def _inner(scope: Scope, request_id: bytes) -> Scope:
    """The scope for the routes. Routes decode ids, which may hold a slash as %2F, and answer HEAD as GET."""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    path = scope["raw_path"].decode("latin-1")
    return {**scope, "method": method, "path": path, "thalweg_request_id": request_id.decode()}


def _request_id(given: bytes) -> bytes:
    """The id that the client gave, where the id is short and plain, and else a new one."""
    return given if REQUEST_ID.fullmatch(given) else b"%032x" % random.getrandbits(128)


async def _read_body(receive: Receive, headers: dict[bytes, bytes]) -> Receive:
    """Read the body, and return what gives the body to the application.

    Raises ProblemError for a body above MAX_BODY_BYTES, before the body is read as a whole.
    """
    detail = f"a body has at most {MAX_BODY_BYTES} bytes; send several requests"
    problem = ProblemError(413, "too-large", "The body is too large", detail)
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise problem
    body, has_more = bytearray(), True  # bytes would be copied whole for each part
    while has_more:
        message = await receive()
        if message["type"] != "http.request":  # The client has gone away, and the application finds out.
            break
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise problem
    messages = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

    async def given() -> Message:
        return next(messages, None) or await receive()

    return given

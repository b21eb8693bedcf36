"""The API as an ASGI application."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from streams.commands.erase.erasure import Erasure
from streams.health.registry import new_registry
from streams.serve.catalogue.metrics import add_catalogue_metrics
from streams.serve.catalogue.served import ServedCatalogue
from streams.serve.explanations.history import HistoryReader
from streams.serve.http.middleware import Application, Gate, ServingMetrics
from streams.serve.http.problems import ProblemError, on_error, on_http_exception, on_invalid_request, on_problem
from streams.serve.http.tokens import Tokens
from streams.serve.live.live import Live
from streams.serve.lookalikes.follower import LookalikeFollower
from streams.serve.routes import bodies
from streams.serve.routes.catalogue import catalogue_routes
from streams.serve.routes.erasures import erasure_routes
from streams.serve.routes.items import item_routes
from streams.serve.routes.live import live_routes
from streams.serve.routes.page import page_routes
from streams.serve.routes.questions.explanations import explanation_routes
from streams.serve.routes.questions.forecasts import forecast_routes
from streams.serve.routes.questions.lookalikes import lookalike_routes
from streams.serve.routes.users import described, user_routes
from streams.serve.scoring.active_model import Model

API_VERSION = "1.0.0"
DESCRIPTION = """Live user representations and recommendations. Every answer names the bundle that it is from, and no
answer mixes bundles. Errors are `application/problem+json`."""

# FastAPI's own spans, metrics and logs would name the path, which holds user ids.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}


class Sources(NamedTuple):
    """What the routes ask."""

    current: Callable[[], Model]  # the model that answers now
    erasure_of: Callable[[str], Erasure]
    catalogue: ServedCatalogue
    live: Live  # the stream of the page
    histories: HistoryReader  # the events of users
    lookalikes: LookalikeFollower | None = None  # None: the server keeps no index of users


def make_application(
    sources: Sources, tokens: Tokens | None, follow: Callable[[], AbstractAsyncContextManager[None]]
) -> Application:
    """tokens: None where every request is allowed. follow: runs while serving."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with follow():
            yield

    api = _Api(
        title="Thalweg",
        version=API_VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # the page would load scripts from another server
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    for error, handler in (
        (ProblemError, on_problem),
        (HTTPException, on_http_exception),
        (RequestValidationError, on_invalid_request),
        (Exception, on_error),
    ):
        api.add_exception_handler(error, handler)
    registry = new_registry()
    _add_health(api, sources.current, registry)
    add_catalogue_metrics(registry, sources.catalogue.progress)
    if sources.lookalikes is not None:
        sources.lookalikes.register(registry)
    for router in (
        user_routes(sources.current, sources.catalogue),
        item_routes(sources.current, sources.catalogue),
        catalogue_routes(sources.current, sources.catalogue),
        erasure_routes(sources.erasure_of),
        forecast_routes(sources.current),
        lookalike_routes(sources.current, sources.lookalikes),
        explanation_routes(sources.current, sources.catalogue, sources.histories),
        live_routes(sources.current, sources.catalogue, sources.live),
        page_routes(),
    ):
        api.include_router(router)
    return Gate(api, tokens, ServingMetrics(registry))


def _add_health(api: FastAPI, current: Callable[[], Model], registry: CollectorRegistry) -> None:
    refused_host: dict[int | str, Any] = {403: described()[403]}

    @api.get("/healthz", tags=["server"], responses=refused_host)
    async def healthz() -> Mapping[str, str]:
        """Whether the server answers at all."""
        return {"status": "ok"}

    @api.get("/readyz", tags=["server"], responses={503: {"description": "no bundle to answer from"}, **refused_host})
    async def readyz() -> Mapping[str, str]:
        """Whether the server has the active bundle."""
        return {"status": "ready", "bundle_id": current().bundle_id}

    @api.get("/metrics", tags=["server"], response_class=Response, responses=described())
    async def metrics() -> Response:
        """Metrics for Prometheus, by route."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Api(FastAPI):
    """FastAPI with the bearer token and the body of problems in the OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            components = document.setdefault("components", {})
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            components["schemas"]["ProblemBody"] = bodies.ProblemBody.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(name, None)
            for path, methods in document["paths"].items():
                for operation in methods.values():
                    if path.startswith("/v1/") or path == "/metrics":
                        operation["security"] = [{"bearer": []}]
        return super().openapi()  # FastAPI keeps the document, which is changed in place

"""The query parameters of a route as one model.

FastAPI reads and checks the parameters of a function one after the other, also those that a request does not have. Each
parameter costs 10 us. A model is read at once: docs/decisions.md#query-parameters-as-one-model.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


def query_of(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads the query as a model. A field that is a list takes every value, others the last one.

    The dependency raises RequestValidationError, as FastAPI does for parameters of a function.
    """
    schema = model.model_json_schema()["properties"]
    lists = frozenset(name for name, field in schema.items() if field.get("type") == "array")

    async def read(request: Request) -> M:
        fields: dict[str, Any] = {}
        for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
            if name in lists:
                fields.setdefault(name, []).append(value)
            else:
                fields[name] = value
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            raise RequestValidationError(
                [{**one, "loc": ("query", *one["loc"])} for one in error.errors(include_url=False)]
            ) from None

    return read


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """The parameters for `openapi_extra` of the route. A parameter that stands in a list may stand again."""
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": field, "description": field["description"]}
            for name, field in model.model_json_schema()["properties"].items()
        ]
    }

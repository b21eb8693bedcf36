"""Routes that refuse query parameters which they do not have.

Otherwise, a misspelt filter would filter nothing, and nobody would be told.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_origin
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from streams.serve.http.problems import SHOWN_CHARACTERS, ProblemError

LEAST_LIKENESS = 0.5  # of the name that a problem proposes, from 0 to 1 as of `difflib`


class StrictRoute(APIRoute):
    """A route that answers 422 to a query parameter that the route does not have, or that stands too often."""

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        may_repeat = dict(_query_parameters(self.dependant))
        for one in (self.openapi_extra or {}).get("parameters", ()):  # of `query_model`
            may_repeat[one["name"]] = one["schema"].get("type") == "array"
        self._names = frozenset(may_repeat)
        self._lists = frozenset(name for name, is_list in may_repeat.items() if is_list)
        self._encoded_names = frozenset(name.encode() for name in self._names)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ProblemError."""
        query: bytes = scope["query_string"]
        if query and scope["method"] in (self.methods or ()):
            names = [part.partition(b"=")[0] for part in query.split(b"&")]
            # Most requests pass here, which takes a microsecond. Decoding takes longer.
            if len(names) > len(self._encoded_names.intersection(names)):
                self._check([name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)])
        await super().handle(scope, receive, send)

    def _check(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._names:
                raise _refused(f"this path has no parameter {_shown(name)}{self._proposal(name)}")
            if name not in self._lists and (count := names.count(name)) > 1:
                raise _refused(f"{name} stands {count} times, and may stand once: send one value")

    def _proposal(self, name: str) -> str:
        if not self._names:
            return ", and no others: leave the parameter out"
        close = get_close_matches(name[:SHOWN_CHARACTERS].lower(), self._names, 1, LEAST_LIKENESS)
        return f": did you mean {close[0]}?" if close else f": the path has {', '.join(sorted(self._names))}"


def _query_parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The name of each parameter, also those of dependencies, and whether the parameter may stand again."""
    for field in dependant.query_params:
        yield field.alias, get_origin(field.field_info.annotation) in (list, Sequence)
    for dependency in dependant.dependencies:
        yield from _query_parameters(dependency)


def _shown(name: str) -> str:
    return repr(name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}...")


def _refused(detail: str) -> ProblemError:
    return ProblemError(422, "invalid-request", "The request breaks the rules of its document", detail)

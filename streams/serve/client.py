"""A client of `thalweg serve` that needs the standard library alone. The file also works as a copy without Thalweg.

    with Client("http://127.0.0.1:8080", token="...") as client:
        client.recommendations("u-42", k=5)["items"]

`get` and `post` reach every path of docs/openapi.json, as in `client.get("items", "i-7", "similar", k=5)`. Answers are
the JSON of that document as dictionaries. A client is for one thread, and keeps one connection.
"""

import http.client
import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

RETRIED = (429, 503)
LONGEST_WAIT_S = 30.0


class ApiError(Exception):
    """An answer that is not the wanted one. `kind` is the word in `type` of docs/serving.md#problems."""

    def __init__(self, status: int, kind: str, detail: str, request_id: str) -> None:
        super().__init__(f"{status} {kind}: {detail} (request {request_id})")
        self.status, self.kind, self.detail, self.request_id = status, kind, detail, request_id


class Client:
    """Asks one server. Every method raises ApiError, and OSError or http.client.HTTPException without a connection."""

    def __init__(self, address: str, token: str | None = None, timeout_s: float = 10.0, tries: int = 4) -> None:
        """tries: how often a request is sent at most. A 429 and a 503 are sent again after their Retry-After."""
        parts = urlsplit(address)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = connect(parts.hostname or "", parts.port, timeout=timeout_s)  # above the server's limits
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._tries = tries

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def representation(self, user_id: str) -> Any:
        return self.get("users", user_id, "representation")

    def recommendations(self, user_id: str, **parameters: Any) -> Any:
        return self.get("users", user_id, "recommendations", **parameters)

    def rank(self, user_id: str, item_ids: Sequence[str], **fields: Any) -> Any:
        return self.post("rank", {"user_id": user_id, "item_ids": list(item_ids), **fields})

    def churn(self, user_id: str, days: float, **parameters: Any) -> Any:
        return self.get("users", user_id, "churn", days=days, **parameters)

    def erase(self, user_id: str) -> Any:
        """Send an erasure. `get_path` of the answer's `status` says whether the user is forgotten."""
        return self._request("DELETE", f"/v1/users/{quote(user_id, safe='')}")

    def get(self, *path: str, **parameters: Any) -> Any:
        """Return the answer to a GET below /v1. A list stands several times, True is `true`, and None is left out."""
        given = [(name, value) for name, value in parameters.items() if value is not None]
        pairs = [(name, value if isinstance(value, list | tuple | set) else [value]) for name, value in given]
        texts = [(name, str(one).lower() if isinstance(one, bool) else one) for name, many in pairs for one in many]
        address = "/v1/" + "/".join(quote(one, safe="") for one in path)
        return self.get_path(f"{address}?{urlencode(texts)}" if texts else address)

    def get_path(self, path: str) -> Any:
        return self._request("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self._request("POST", f"/v1/{path}", json.dumps(body))

    def _request(self, method: str, path: str, body: str | None = None) -> Any:
        """Every request may be sent twice: none but an erasure changes anything, and a second erasure does no harm."""
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        for left in reversed(range(self._tries)):
            try:
                self._connection.request(method, path, body, headers)
                answer = self._connection.getresponse()
                content = answer.read()
            except (http.client.HTTPException, OSError):
                self._connection.close()  # The server may have closed an idle connection.
                if not left:
                    raise
                continue
            if answer.status < 300:
                return json.loads(content)
            if answer.status not in RETRIED or not left:
                raise _error(answer, content)
            time.sleep(min(float(answer.headers.get("Retry-After", 1)), LONGEST_WAIT_S))
        raise ValueError(f"tries is {self._tries}: give 1 or more")


def _error(answer: http.client.HTTPResponse, content: bytes) -> ApiError:
    is_problem = answer.headers.get_content_type() == "application/problem+json"
    problem = json.loads(content) if is_problem else {}
    detail = problem.get("detail", content.decode("utf-8", "replace"))
    return ApiError(answer.status, problem.get("type", ""), detail, answer.headers.get("X-Request-ID", ""))

"""What the API says to requests that may not pass, and to requests when a service is away."""

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from encoder.data.contract.incoming_event import MAX_AHEAD_MS
from streams.serve.http.middleware import Application
from streams.serve.http.problems import ProblemError
from streams.serve.http.tokens import Tokens
from streams.serve.routes.answers import is_same
from streams.serve.routes.bodies import Event
from streams.serve.routes.session_step import judged
from tests.tools.serving import DOCUMENT, application, ask

READER, WRITER = "0123456789abcdef", "fedcba9876543210"
FILE = f"""
[shop]
token = "{READER}"
scopes = ["read"]

[crm]
token = "{WRITER}"
scopes = ["read", "admin"]
requests_per_s = 0.01
"""
PATHS = [
    ("GET", "/v1/users/u/representation"),
    ("GET", "/v1/users/u/recommendations"),
    ("GET", "/v1/users/u/erasure?at=0:1&end=0:2"),
    ("DELETE", "/v1/users/u"),
    ("POST", "/v1/representations"),
    ("POST", "/v1/rank"),
    ("POST", "/v1/step"),
    ("GET", "/v1/items/i/similar"),
    ("GET", "/v1/items/i"),
    ("GET", "/v1/catalogue"),
    ("GET", "/v1/users/u/churn?days=1"),
    ("GET", "/v1/users/u/next"),
    ("GET", "/v1/users/u/lookalikes"),
    ("GET", "/v1/users/u/explanation"),
    ("POST", "/v1/explanation"),
    ("GET", "/metrics"),
    ("GET", "/v1/nothing"),
]


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    path = tmp_path / "tokens.toml"
    path.write_text(FILE)
    return Tokens(path)


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("token", [None, "0123456789abcdeF", ""])
def test_a_request_without_a_valid_token_gets_401_and_nothing_else(
    tokens: Tokens, method: str, path: str, token: str | None
) -> None:
    answer = ask(application(tokens), method, path, token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "unauthorized"


def test_a_token_of_scope_read_cannot_erase(tokens: Tokens) -> None:
    answer = ask(application(tokens), "DELETE", "/v1/users/u", READER)
    assert answer.status_code == 403
    assert "'shop' has the scopes read, and this request needs admin" in answer.json()["detail"]


def test_a_token_with_a_limit_is_held_to_the_limit_and_other_tokens_are_not(tokens: Tokens) -> None:
    app = application(tokens)
    found = [ask(app, "GET", "/v1/items/i/similar", WRITER).status_code for _ in range(3)]
    assert found == [503, 429, 429]
    assert 'thalweg_api_requests_total{caller="crm",method="GET",route="refused",status="429"} 2.0' in metrics_of(app)
    assert ask(app, "GET", "/v1/items/i/similar", READER).status_code == 503


def metrics_of(app: Application) -> str:
    return ask(app, "GET", "/metrics", READER).text


def test_a_problem_of_a_service_says_when_to_try_again(tokens: Tokens) -> None:
    answer = ask(application(tokens), "GET", "/v1/users/u/recommendations", READER)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["detail"] == "no bundle is active"
    assert ask(application(tokens), "GET", "/readyz").status_code == 503
    assert ask(application(tokens), "GET", "/healthz").status_code == 200


def test_an_error_of_the_server_is_a_problem_with_the_id_of_the_request() -> None:
    def broken() -> Any:
        raise RuntimeError("a secret of the server")

    answer = ask(application(current=broken), "GET", "/v1/items/i/similar", headers={"X-Request-ID": "abc-1"})
    assert answer.status_code == 500
    assert "abc-1" in answer.json()["detail"]
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "abc-1"


def test_an_id_of_a_request_that_could_break_a_log_is_replaced() -> None:
    answer = ask(application(), "GET", "/healthz", headers={"X-Request-ID": "a b\tc"})
    assert answer.headers["x-request-id"] != "a b\tc"


def test_metrics_and_the_log_name_routes_and_no_users(caplog: pytest.LogCaptureFixture) -> None:
    app = application()
    with caplog.at_level("INFO", logger="streams"):
        ask(app, "GET", "/v1/users/carla/recommendations")
        metrics = ask(app, "GET", "/metrics").text
    route = "/v1/users/{user_id}/recommendations"
    line = f'thalweg_api_requests_total{{caller="",method="GET",route="{route}",status="503"}} 1.0'
    assert line in metrics
    assert "carla" not in metrics + caplog.text


def test_a_method_that_is_no_method_of_http_makes_no_metric_of_its_own() -> None:
    app = application()
    for number in range(3):
        assert ask(app, f"M{number}", "/v1/rank").status_code == 405
    found = ask(app, "GET", "/metrics").text
    assert 'method="other",route="/v1/rank",status="405"} 3.0' in found
    assert "M1" not in found


def test_a_body_that_is_too_long_is_refused_also_without_its_length() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 64_000

    assert ask(application(), "POST", "/v1/rank", content=b" " * 2_000_000).status_code == 413
    assert ask(application(), "POST", "/v1/rank", content=parts()).status_code == 413


@pytest.mark.parametrize(
    ("header", "is_same_tag"),
    [('"b-1-2"', True), ('"x", W/"b-1-2"', True), ("*", True), ('"b-1-3"', False), ("b-1-2", False)],
)
def test_a_header_if_none_match_is_compared_weakly(header: str, is_same_tag: bool) -> None:
    assert is_same('"b-1-2"', header) is is_same_tag


def test_half_a_surrogate_pair_in_an_attribute_is_refused() -> None:
    event = '{"item_id":"a","action":"view","event_time_ms":1,"attributes":{"a":"\\ud800"}}'
    body = f'{{"events":[{event}]}}'
    answer = ask(application(), "POST", "/v1/step", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert "body.events.0.attributes: Value error, 'a' is a text with half" in answer.json()["detail"]


EVENT = {"item_id": "i", "action": "view", "event_time_ms": 1}


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/v1/rank", {"user_id": 1, "item_ids": [1] * 5_000}, "body.user_id: .*; body.item_ids.0: "),
        ("/v1/representations", {"user_ids": [""] * 1_000}, "body.user_ids.0: "),
        ("/v1/rank", {str(i): 1 for i in range(50_000)}, "body.value: .* 50000 fields, and the document names 2"),
        ("/v1/step", {"events": [{}] * 1_000}, "body.events.0.item_id: Field required"),
        ("/v1/explanation", {"events": [{"x": 1}] * 1_000}, "body.events.0.item_id: Field required"),
        (
            "/v1/step",
            {"events": [{**EVENT, "attributes": {str(i): [] for i in range(50_000)}}]},
            "body.events.0.attributes: Value error, '0' is neither a text nor a number",
        ),
        (
            "/v1/step",
            {"events": [{**EVENT, "attributes": {f"{i}{'n' * 512}": 1 for i in range(1_000)}}]},
            "body.events.0.attributes: Value error, the name '0nnn.* is not a text of 1 to 512 characters",
        ),
        ("/v1/step", {"events": [{**EVENT, "attributes": {"a": True}}]}, "body.events.0.attributes: .*'a' is neither"),
    ],
)
def test_a_body_with_thousands_of_errors_gets_a_short_answer(path: str, body: Any, detail: str) -> None:
    answer = ask(application(), "POST", path, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "invalid-request")
    assert re.match(detail, answer.json()["detail"])
    assert len(answer.content) < 2_000


def test_the_document_in_the_repository_is_that_of_the_code() -> None:
    document = ask(application(), "GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert json.loads(DOCUMENT.read_text()) == document, "write it again with `python -m tests.tools.write_openapi`"


def test_every_field_of_a_body_is_described() -> None:
    schemas = ask(application(), "GET", "/openapi.json").json()["components"]["schemas"]
    bare = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, shape in schema.get("properties", {}).items()
        if not shape.get("description")
    ]
    assert bare == []


@pytest.mark.parametrize("path", ["/healthz", "/v1/items/i/similar", "/v1/nothing"])
def test_head_is_answered_as_get_without_a_body(tokens: Tokens, path: str) -> None:
    app = application(tokens)
    head, get = (ask(app, method, path, READER) for method in ("HEAD", "GET"))
    assert (head.status_code, head.content) == (get.status_code, b"")
    varying = ("x-request-id",)
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in get.headers.items() if name not in varying
    }
    assert ask(app, "HEAD", path, "wrong-token-wrong").status_code == (200 if path == "/healthz" else 401)


def test_head_of_a_path_that_only_writes_is_refused() -> None:
    assert ask(application(), "HEAD", "/v1/rank").status_code == 405


def test_a_body_without_a_content_type_is_told_which_header_is_missing() -> None:
    answer = ask(application(), "POST", "/v1/rank", content=b'{"user_id": "u", "item_ids": ["i"]}')
    assert answer.status_code == 422
    assert answer.json()["detail"] == "body: send JSON with the header Content-Type: application/json"


def test_an_event_that_a_worker_would_refuse_for_its_time_is_refused_and_others_are_not() -> None:
    now_ms, minute_ms = int(time.time() * 1000), 60_000
    times_ms = [0, now_ms, now_ms + MAX_AHEAD_MS - minute_ms]
    allowed = [Event(item_id="i", action="view", event_time_ms=time_ms) for time_ms in times_ms]
    assert [one.event_time_ms for one in judged(allowed)] == times_ms
    future = Event(item_id="i", action="view", event_time_ms=now_ms + MAX_AHEAD_MS + minute_ms)
    with pytest.raises(ProblemError, match=r"events\.3\.event_time_ms is \d+, \d+ ms after the server") as caught:
        judged([*allowed, future])
    assert (caught.value.status, caught.value.kind) == (409, "future-event")

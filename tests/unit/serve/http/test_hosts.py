"""A server without tokens refuses a browser that a site has led to the loopback address under its own name."""

from pathlib import Path

import pytest

from streams.serve.http.tokens import Tokens
from tests.tools.serving import application, ask

OWN = ["localhost", "LocalHost:8080", "localhost.:80", "thalweg.localhost:8080", "127.0.0.1", "127.0.0.1:8080"]
OWN += ["127.8.8.8:1", "192.0.2.7:8080", "[::1]", "[::1]:8080", "::1", "localhost:"]
FOREIGN = ["shop.example", "shop.example:8080", "localhost.shop.example", "127.0.0.1.shop.example:8080", "notlocalhost"]
FOREIGN += ["localhost:80:80", "127.0.0.1:8080@shop.example", "127.0.0.1:x", "[::1", "[]", ".", ":80", "localhost:\xb2"]


@pytest.mark.parametrize("host", OWN)
def test_the_machines_own_names_and_addresses_pass(host: str) -> None:
    assert ask(application(), "GET", "/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/v1/users/u/representation"), ("DELETE", "/v1/users/u")]
)
def test_the_name_of_a_site_gets_403_and_nothing_else(method: str, path: str, host: str) -> None:
    answer = ask(application(), method, path, headers={"Host": host.encode("latin-1")})
    assert (answer.status_code, answer.json()["type"]) == (403, "forbidden-host")
    assert "start the server with --tokens" in answer.json()["detail"]


def test_with_tokens_any_name_passes_because_no_page_has_a_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text('[shop]\ntoken = "0123456789abcdef"\nscopes = ["read"]\n')
    app = application(Tokens(path))
    assert ask(app, "GET", "/healthz", headers={"Host": "shop.example"}).status_code == 200
    assert ask(app, "GET", "/v1/catalogue", "0123456789abcdef", headers={"Host": "shop.example"}).status_code == 200
    assert ask(app, "GET", "/v1/catalogue", headers={"Host": "shop.example"}).status_code == 401

"""An OpenID Connect issuer on this machine: a token endpoint for client credentials, and its keys as a JWK set."""

import base64
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.integration.logins.json_answer import answer

CLIENT, CLIENT_SECRET = "thalweg worker", "Zx81:client/secret not to be seen"
SCOPE = "events"


class Issuer:
    """Signs tokens (RS256) for one client. Tests change how long tokens live, and whether the issuer answers."""

    def __init__(self) -> None:
        self.life_s = 300.0
        self.late_s = 0.0  # how long ago the tokens were issued, as by a clock that is late
        self.is_down = False
        self.audience = "kafka"
        self.issued: list[str] = []
        self._key = rsa.generate_private_key(65537, 2048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/jwks"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def jwks(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        return {
            "keys": [
                {
                    "kty": "RSA",
                    "alg": "RS256",
                    "use": "sig",
                    "kid": "1",
                    "n": _number(numbers.n),
                    "e": _number(numbers.e),
                }
            ]
        }

    def answer(self, authorization: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return the status and the body for a request of a token (RFC 6749, sections 4.4 and 5)."""
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if [urllib.parse.unquote_plus(part) for part in given.split(":")] != [CLIENT, CLIENT_SECRET]:
            return 401, {"error": "invalid_client", "error_description": "unknown client or secret"}
        if form != {"grant_type": "client_credentials", "scope": SCOPE}:
            return 400, {"error": "invalid_scope"}
        token = self._sign(time.time() - self.late_s)
        self.issued.append(token)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": str(self.life_s)}

    def _sign(self, now_s: float) -> str:
        claims = {
            "iss": self.url,
            "aud": self.audience,
            "sub": CLIENT,
            "scope": SCOPE,
            "iat": now_s,
            "exp": now_s + self.life_s,
        }
        head = ".".join(_text(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "1"}, claims))
        return f"{head}.{_text(self._key.sign(head.encode(), padding.PKCS1v15(), SHA256()))}"


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, 200, issuer.jwks())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path != "/token" or issuer.is_down:
                answer(self, 503 if issuer.is_down else 404, {})
                return
            answer(self, *issuer.answer(self.headers["Authorization"], dict(urllib.parse.parse_qsl(body))))

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

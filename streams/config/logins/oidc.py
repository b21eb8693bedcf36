"""Tokens of an OpenID Connect issuer for a client's own id and secret.

Sources: RFC 6749, sections 2.3.1 (the id and the secret), 4.4 (client credentials) and 5 (answers); RFC 7519, section
4.1.4 (when a token ends).
"""

import base64
import binascii
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import msgspec

from streams.config.errors import BrokerError, SettingsError
from streams.config.logins.tls import SYSTEM, trusting_context
from streams.config.logins.tokens import Token
from streams.config.settings import Secret, Settings, setting_label

ANSWER_LIMIT_S = 10.0
ANSWER_LIMIT_BYTES = 1 << 20
UNKNOWN_LIFE_S = 300.0  # of a token whose issuer does not say when the token ends
_REFUSED_CLIENT = ("invalid_client", "unauthorized_client")


class _Answer(msgspec.Struct):
    access_token: str | None = None
    expires_in: float | None = None  # seconds
    error: str | None = None
    error_description: str | None = None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, because the client's secret must not go to another address."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def fetch_token(settings: Settings) -> Token:
    """Ask the issuer for a token. Blocks.

    Raises SettingsError where the issuer refuses the client or is no issuer, and BrokerError where the issuer does not
    answer.
    """
    assert settings.broker_token_url is not None, "checked with the settings"
    issuer = f"the issuer of tokens at {setting_label('broker_token_url')} = {settings.broker_token_url!r}"
    began_s = time.time()
    try:
        with _opener(settings).open(_request(settings), timeout=ANSWER_LIMIT_S) as response:
            status, body = response.status, response.read(ANSWER_LIMIT_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read(ANSWER_LIMIT_BYTES)
    except (OSError, ValueError) as error:  # OSError includes urllib's URLError and a time-out
        reason = getattr(error, "reason", error)
        raise BrokerError(
            f"{issuer} does not answer: {reason}; look at the address, and whether the issuer runs"
        ) from None
    try:
        answer = msgspec.json.decode(body, type=_Answer, strict=False)  # some issuers send seconds as text
    except msgspec.MsgspecError:
        answer = _Answer()
    if not answer.access_token:
        raise _refusal(settings, issuer, status, answer)
    return Token(Secret(answer.access_token), _expiry_s(answer, began_s))


def _refusal(settings: Settings, issuer: str, status: int, answer: _Answer) -> SettingsError | BrokerError:
    reason = ": ".join(filter(None, (answer.error, answer.error_description))) or f"status {status} without a reason"
    if status == 401 or answer.error in _REFUSED_CLIENT:
        return SettingsError(
            f"{issuer} refused client {settings.broker_user!r}: {reason}; look at {setting_label('broker_user')}, "
            f"which is the client's id, and at {setting_label('broker_password')}, which is the client's secret"
        )
    if answer.error == "invalid_scope":
        scope = f"{setting_label('broker_token_scope')} = {settings.broker_token_scope!r}"
        return SettingsError(f"{issuer} refused the scope: {reason}; look at {scope}")
    if status == 429 or status >= 500:
        return BrokerError(f"{issuer} gave no token: {reason}")
    return SettingsError(f"{issuer} gave no token: {reason}; is this the address of the issuer's token endpoint?")


def _request(settings: Settings) -> urllib.request.Request:
    form = {"grant_type": "client_credentials"}
    if settings.broker_token_scope:
        form["scope"] = settings.broker_token_scope
    client = ":".join(urllib.parse.quote_plus(text or "") for text in (settings.broker_user, settings.broker_password))
    return urllib.request.Request(
        settings.broker_token_url or "",
        data=urllib.parse.urlencode(form).encode(),
        headers={"Authorization": f"Basic {base64.b64encode(client.encode()).decode()}", "Accept": "application/json"},
    )


def _opener(settings: Settings) -> urllib.request.OpenerDirector:
    context = trusting_context(settings.broker_token_ca or SYSTEM, "broker_token_ca")
    return urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))


def _expiry_s(answer: _Answer, began_s: float) -> float:
    """When the token ends, in seconds since 1970, by the clock of this machine."""
    if answer.expires_in is not None:
        return began_s + answer.expires_in
    return expiry_in_token(answer.access_token or "") or began_s + UNKNOWN_LIFE_S


def expiry_in_token(text: str) -> float | None:
    """The claim `exp` of a JSON Web Token, in seconds since 1970. None for another token. Nothing is verified."""
    parts = text.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, msgspec.MsgspecError):
        return None
    expiry = claims.get("exp") if isinstance(claims, dict) else None
    return float(expiry) if isinstance(expiry, int | float) else None

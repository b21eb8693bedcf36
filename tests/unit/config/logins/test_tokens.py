"""Tokens are renewed before they end, without a client that waits."""

import threading
import time

import pytest

from streams.config.errors import BrokerError
from streams.config.logins import tokens
from streams.config.logins.tokens import RenewedToken, Token
from streams.config.settings import Secret

LIFE_S = 2.0


class Issuer:
    """Counts the tokens. `fails`: how many of the next requests fail."""

    def __init__(self, life_s: float = LIFE_S) -> None:
        self.count, self.fails, self.life_s = 0, 0, life_s
        self.threads: set[int] = set()

    def fetch(self) -> Token:
        self.threads.add(threading.get_ident())
        if self.fails:
            self.fails -= 1
            raise BrokerError("the issuer does not answer")
        self.count += 1
        return Token(Secret(f"token {self.count}"), time.time() + self.life_s)


def test_a_token_is_renewed_in_the_background_before_it_ends() -> None:
    issuer = Issuer()
    token = RenewedToken(issuer.fetch)
    assert token.current().text == token.current().text == "token 1"
    deadline_s = time.monotonic() + 2 * LIFE_S
    while issuer.count < 2 and time.monotonic() < deadline_s:
        assert token.current().expires_s > time.time()
        time.sleep(0.01)
    assert time.monotonic() < deadline_s - LIFE_S
    assert token.current().text == "token 2"
    assert len(issuer.threads) == 2


def test_a_failed_renewal_is_logged_without_the_token(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()
    token = RenewedToken(issuer.fetch)
    token.current()
    issuer.fails = 1
    deadline_s = time.monotonic() + 2 * LIFE_S
    while issuer.fails and time.monotonic() < deadline_s:
        time.sleep(0.01)
    time.sleep(0.05)
    assert "was not renewed" in caplog.text
    assert "the issuer does not answer" in caplog.text
    assert "token 1" not in caplog.text
    assert token.current().text in ("token 1", "token 2")


def test_a_token_that_ended_is_never_used() -> None:
    issuer = Issuer(life_s=0.5)
    token = RenewedToken(issuer.fetch)
    first = token.current()
    issuer.fails = 1  # the renewal in the background
    time.sleep(0.6)
    assert first.expires_s < time.time() < token.current().expires_s


def test_the_error_of_the_first_request_reaches_the_client() -> None:
    issuer = Issuer()
    issuer.fails = 1
    token = RenewedToken(issuer.fetch)
    with pytest.raises(BrokerError, match="does not answer"):
        token.current()
    assert token.current().text == "token 1"


def test_the_renewal_ends_with_its_last_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "LONGEST_WAIT_S", 0.1)
    before = set(threading.enumerate())
    token = RenewedToken(Issuer().fetch)
    token.current()
    (renewal,) = set(threading.enumerate()) - before
    del token
    renewal.join(timeout=5)
    assert not renewal.is_alive()

"""Tokens that end: fetched when first needed, and renewed in the background before they end."""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

from streams.config.errors import ThalwegError
from streams.config.settings import Secret

logger = logging.getLogger(__name__)

RENEWED_AT = 0.8  # share of a token's life after which a new token is fetched
RETRY_S = 5.0  # between two tries to renew a token
# A token that ends within the smaller one is not used any more, because the broker's clock may be ahead.
MARGIN_S, MARGIN = 1.0, 0.1  # the second as a share of a token's life
SHORTEST_WAIT_S, LONGEST_WAIT_S = 0.1, 60.0  # of the thread that renews


class Token(NamedTuple):
    """A token for the broker. `expires_s`: seconds since 1970."""

    text: Secret
    expires_s: float


class _Held(NamedTuple):
    token: Token
    renew_at_s: float
    usable_until_s: float


class RenewedToken:
    """The current token of one login. All methods may be called by any thread."""

    def __init__(self, fetch: Callable[[], Token]) -> None:
        """fetch: blocks and returns a new token. Raises ThalwegError."""
        self._fetch = fetch
        self._held: _Held | None = None
        self._lock = threading.Lock()
        self._renewal: threading.Thread | None = None

    def current(self) -> Token:
        """A token that is valid now. Blocks where none is at hand. Raises what `fetch` raises."""
        with self._lock:
            if self._held is None or time.time() >= self._held.usable_until_s:
                self._held = self._new()
            if self._renewal is None:
                self._renewal = threading.Thread(
                    target=_renew, args=(weakref.ref(self),), name="token renewal", daemon=True
                )
                self._renewal.start()
            return self._held.token

    def _new(self) -> _Held:
        began_s = time.time()
        token = self._fetch()
        life_s = token.expires_s - began_s
        return _Held(token, began_s + life_s * RENEWED_AT, token.expires_s - min(MARGIN_S, life_s * MARGIN))

    def renew_if_due(self) -> float:
        """Renew the token where its time has come, and return how many seconds to wait until the next look."""
        held = self._held
        assert held is not None, "the first token is there before the thread starts"
        if time.time() >= held.renew_at_s:
            try:
                self._held = self._new()
            except ThalwegError as error:
                left_s = held.token.expires_s - time.time()
                logger.warning("the token for the broker was not renewed and ends in %.0f s: %s", left_s, error)
                return RETRY_S
            return SHORTEST_WAIT_S
        return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, held.renew_at_s - time.time()))


def _renew(reference: "weakref.ref[RenewedToken]") -> None:
    """Renew the token as long as somebody may ask for the token. A client thereby never waits for the issuer."""
    pause = threading.Event().wait
    while (token := reference()) is not None:
        wait_s = token.renew_if_due()
        del token  # A token that nobody holds any more ends the thread.
        pause(wait_s)

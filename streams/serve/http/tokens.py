"""Bearer tokens from a file, which may change while the server runs.

    [shop]
    token = "a text of 16 characters or more"
    scopes = ["read"]
    requests_per_s = 100

The name of a token stands in metrics and in the log. The token itself stands nowhere else.
"""

import hmac
import logging
import re
import time
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from streams.config.errors import SettingsError

logger = logging.getLogger(__name__)

Scope = Literal["read", "admin"]
CHECK_EVERY_S = 1.0  # between two looks at the file's time of change
SHORTEST_TOKEN = 16


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one caller may do."""

    token: Annotated[str, msgspec.Meta(min_length=SHORTEST_TOKEN, pattern=r"^\S+$")]
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)]
    requests_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None  # None: no limit

    def __repr__(self) -> str:
        return f"Token(scopes={self.scopes})"


class Caller(msgspec.Struct, frozen=True):
    """Who sends a request."""

    name: str
    scopes: tuple[Scope, ...]
    requests_per_s: float | None


class Tokens:
    """The callers of a file of tokens. A changed file counts after a second at most."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError where the file cannot be read or is not a file of tokens."""
        self._path = path
        self._changed_ns = self._time_of_change()
        self._callers = read_tokens(path)
        self._checked_s = time.monotonic()
        self.failure: SettingsError | None = None  # why the last change of the file does not count

    def caller(self, authorization: str | None) -> Caller | None:
        """Who sends this Authorization header. None: nobody that the file knows."""
        self._reload()
        kind, _, given = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not given.isascii():
            return None
        found = None
        for token, caller in self._callers:  # All tokens are compared, so that the time tells nothing about a token.
            if hmac.compare_digest(token, given.strip()):
                found = caller
        return found

    def _reload(self) -> None:
        now_s = time.monotonic()
        if now_s - self._checked_s < CHECK_EVERY_S:
            return
        self._checked_s = now_s
        try:
            changed_ns = self._time_of_change()
            if changed_ns != self._changed_ns:
                self._callers, self._changed_ns, self.failure = read_tokens(self._path), changed_ns, None
        except SettingsError as error:  # The tokens of before stay, because a half-written file must not lock all out.
            if str(error) != str(self.failure):
                logger.warning("the tokens of before stay valid: %s", error)
            self.failure = error

    def _time_of_change(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError as error:
            raise _unreadable(self._path, error) from None


def _in_words(error: Exception) -> str:
    """Why a file or a table holds no token, without the names of Python's types and without the token."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return text
    if key := re.search(r"missing required field `(.*)`", text):
        return f"{key[1]} is missing"
    if key := re.search(r"unknown field `(.*)`", text):
        return f"{key[1]!r} is no key of a token"
    if value := re.search(r"Invalid enum value (.*) - at", text):
        return f"{value[1]} is no scope"
    key = re.search(r"at `\$\.(\w+)", text)
    return f"{key[1]} has a value of another form" if key else "this is no table"


def read_tokens(path: Path) -> list[tuple[str, Caller]]:
    """The tokens of a file with their callers. Raises SettingsError that names the file and the place."""
    try:
        tokens, name = {}, "the whole file"
        for name, table in tomllib.loads(path.read_text()).items():
            tokens[name] = msgspec.convert(table, Token)
    except OSError as error:
        raise _unreadable(path, error) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(
            f"--tokens {path} is not a file of tokens: {name}: {_in_words(error)}; each token is a table with a "
            f'name, such as [shop], and has token = "{SHORTEST_TOKEN} characters or more, without spaces", scopes = '
            '["read"] or ["read", "admin"], and where wanted requests_per_s, a number above 0'
        ) from None
    if not tokens:
        raise SettingsError(f"--tokens {path} holds no token, so nobody could ask: add a table with a name, as [shop]")
    texts = [token.token for token in tokens.values()]
    if not all(text.isascii() for text in texts):
        raise SettingsError(f"--tokens {path}: a token has characters outside ASCII, which HTTP headers cannot carry")
    if len(set(texts)) < len(texts):
        raise SettingsError(f"--tokens {path}: two names have the same token; give each name its own")
    return [(one.token, Caller(name, one.scopes, one.requests_per_s)) for name, one in tokens.items()]


def _unreadable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(f"--tokens {path} cannot be read: {error.strerror}; name a file that this user can read")

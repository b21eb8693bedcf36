"""The error of a mapping that cannot be used."""

from collections.abc import Iterable
from difflib import get_close_matches

from encoder.errors import InputError


class MappingError(InputError):
    """A mapping is missing or says something that cannot be done. The message names the file, the key and a remedy."""


def closest(word: str, known: Iterable[str]) -> str:
    """The words for a message that say which known word is meant: `did you mean "user"?`, or all known words."""
    known = list(known)
    near = get_close_matches(word, known, n=1)
    return f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(known)}"

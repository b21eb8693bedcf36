"""The types of arguments that are numbers. argparse refuses a number outside its bounds before a command runs."""

from argparse import ArgumentTypeError
from collections.abc import Callable

MAX_SEED = 2**63 - 1  # the largest seed that both numpy and torch take


def whole_number(at_least: int, at_most: int | None = None) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `at_least` to `at_most`."""
    bounds = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a whole number {bounds}") from None
        if number < at_least or (at_most is not None and number > at_most):
            raise ArgumentTypeError(f"{text} is not a whole number {bounds}")
        return number

    return parse


def positive(text: str) -> float:
    """The type of an argument that is a finite number above 0."""
    number = _number(text)
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text} is not a number above 0")
    return number


def share(text: str) -> float:
    """The type of an argument that is a number from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None

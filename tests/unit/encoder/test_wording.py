"""Nouns behind counts."""

import pytest

from encoder.wording import counted


@pytest.mark.parametrize(
    ("count", "words", "expected"),
    [
        (0, ("worker",), "0 workers"),
        (1, ("worker",), "1 worker"),
        (2_000, ("worker",), "2,000 workers"),
        (1, ("history", "histories"), "1 history"),
        (3, ("history", "histories"), "3 histories"),
    ],
)
def test_a_noun_has_the_form_of_its_count(count: int, words: tuple[str, ...], expected: str) -> None:
    assert counted(count, *words) == expected

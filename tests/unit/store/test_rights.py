"""The GRANT that a message about a missing right names."""

import pytest

from streams.store.rights import grant_text

PREFIX = 'Error from server: code=2100 [Unauthorized] message="'


@pytest.mark.parametrize(
    ("message", "grant"),
    [
        (
            "User anna has no CREATE permission on <all keyspaces> or any of its parents",
            "GRANT CREATE ON ALL KEYSPACES TO anna",
        ),
        (
            "User anna has no CREATE permission on <keyspace shop> or any of its parents",
            "GRANT CREATE ON KEYSPACE shop TO anna",
        ),
        (
            "User anna has no CREATE permission on <all tables in shop> or any of its parents",
            "GRANT CREATE ON KEYSPACE shop TO anna",
        ),
        (
            "User anna has no MODIFY permission on <table shop.representations_67> or any of its parents",
            "GRANT MODIFY ON TABLE shop.representations_67 TO anna",
        ),
    ],
)
def test_the_missing_right_becomes_a_grant(message: str, grant: str) -> None:
    assert grant_text(PREFIX + message + '"') == f"; run as an administrator: {grant}"


def test_another_message_gets_no_grant() -> None:
    assert grant_text(PREFIX + 'You have not logged in"') == ""

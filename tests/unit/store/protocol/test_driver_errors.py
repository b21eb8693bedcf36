"""Errors of the driver in words: no name of a class, and no dictionary of Python."""

import errno

import pytest
from cassandra import ConsistencyLevel, OperationTimedOut, ReadTimeout, Unavailable
from cassandra.cluster import NoHostAvailable

from streams.config.errors import StoreError
from streams.store.protocol.driver_errors import FewReplicas, few_replicas, plain_text

UNAVAILABLE = Unavailable("Error from server: code=1000", ConsistencyLevel.LOCAL_QUORUM, 2, 1)
TIMEOUT = ReadTimeout(
    "Error from server: code=1200",
    consistency=ConsistencyLevel.LOCAL_QUORUM,
    required_responses=2,
    received_responses=0,
)
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Tried connecting to [('127.0.0.1', 1)]. Last error: refused")
A, B = "127.0.0.1:1", "127.0.0.2:1"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UNAVAILABLE, "LOCAL_QUORUM needs 2 replicas of a row, and 1 answers"),
        (TIMEOUT, "LOCAL_QUORUM needs 2 replicas of a row, and 0 answer"),
        (REFUSED, "Connection refused"),
        (OSError("no code"), "no code"),
        (OperationTimedOut({A: "Client request timeout"}, A), f"no answer in time ({A})"),
        (OperationTimedOut(), "no answer in time"),
        (NoHostAvailable("Unable to connect", {B: REFUSED, A: REFUSED}), f"Connection refused ({A}, {B})"),
        (
            NoHostAvailable("Unable to complete", {A: UNAVAILABLE, B: REFUSED}),
            f"LOCAL_QUORUM needs 2 replicas of a row, and 1 answers ({A}), Connection refused ({B})",
        ),
        (NoHostAvailable("Unable to connect to any servers", []), "Unable to connect to any servers"),
    ],
)
def test_an_error_of_the_driver_is_put_in_words(error: Exception, text: str) -> None:
    assert plain_text(error) == text


def test_replicas_that_are_lacking_are_found_behind_other_errors() -> None:
    outer = StoreError("Cassandra failed to read")
    outer.__cause__ = NoHostAvailable("Unable to complete", {A: REFUSED, B: UNAVAILABLE})
    assert few_replicas(outer) == FewReplicas("LOCAL_QUORUM", 2, 1)
    assert few_replicas(TIMEOUT) == FewReplicas("LOCAL_QUORUM", 2, 0)
    late = OperationTimedOut({A: "Client request timeout"}, A)
    assert [few_replicas(one) for one in (StoreError("no cause"), REFUSED, late)] == [None] * 3


def test_a_read_that_enough_replicas_have_answered_lacks_none() -> None:
    """Cassandra also calls a read timed out whose answers came without the data."""
    error = ReadTimeout("x", consistency=ConsistencyLevel.ONE, required_responses=1, received_responses=1)
    assert few_replicas(error) is None
    assert plain_text(error) == str(error)

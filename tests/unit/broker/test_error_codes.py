"""Error codes of a broker: every code has a name, and the errors that an operator can mend have a remedy."""

from types import ModuleType

import aiokafka.errors
import kafka.errors
import pytest

from streams.broker import clients
from streams.broker.clients import kafka_errors
from streams.broker.error_codes import describe
from streams.config.errors import BrokerError


@pytest.mark.parametrize("code", [76, 80, 82, 87, 89, 90, 97, 110])
def test_aiokafka_names_the_codes_that_it_does_not_know_by_itself(code: int) -> None:
    assert clients.make_producer is not None  # the module teaches the codes
    error = aiokafka.errors.for_code(code)
    assert error.__name__ == kafka.errors.for_code(code).__name__
    assert issubclass(error, aiokafka.errors.KafkaError)
    assert describe(error()).startswith(f"[Error {code}] {error.__name__}; ")


def test_every_code_of_kafka_is_named() -> None:
    for code in range(1, 128):
        assert aiokafka.errors.for_code(code) is not aiokafka.errors.UnknownError, code


@pytest.mark.parametrize("library", [aiokafka.errors, kafka.errors])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [(10, "max.message.bytes"), (29, "give the user"), (53, "transactional id"), (87, "compaction refuses")],
)
def test_an_error_that_an_operator_can_mend_has_a_remedy(library: ModuleType, code: int, remedy: str) -> None:
    assert remedy in describe(library.for_code(code)())


def test_the_error_behind_a_failed_delivery_is_shown() -> None:
    hidden = aiokafka.errors.KafkaError("Unexpected error during batch delivery")
    hidden.__cause__ = aiokafka.errors.for_code(31)()
    with (
        pytest.raises(BrokerError, match=r"outputs to t were not confirmed: \[Error 31\].*IdempotentWrite"),
        kafka_errors("outputs to t were not confirmed"),
    ):
        raise hidden

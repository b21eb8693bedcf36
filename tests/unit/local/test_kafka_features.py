"""Which features of a Kafka are raised, and what a refusal says."""

from typing import Any

import pytest
from kafka.errors import InvalidUpdateVersionError, RequestTimedOutError, UnknownBrokerIdError

from streams.local.errors import LocalServiceError
from streams.local.kafka.features import has_newest_features, levels_to_raise

AT_ZERO = {"supported": (0, 2)}


class Controller:
    """The two questions to a controller, with the answers of this test."""

    def __init__(self, features: dict[str, Any], error: Exception | None = None) -> None:
        self.features, self.error = features, error
        self.asked: list[dict[str, int]] = []

    def describe_features(self) -> dict[str, Any]:
        return self.features

    def update_features(self, levels: dict[str, int]) -> None:
        self.asked.append(levels)
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("levels", "raised"),
    [
        (AT_ZERO, 2),
        ({"supported": (0, 2), "finalized": (1, 1)}, 2),
        ({"supported": (0, 2), "finalized": (2, 2)}, None),
        ({"supported": (0, 0)}, None),
    ],
)
def test_a_feature_is_raised_to_its_newest_level(levels: dict[str, Any], raised: int | None) -> None:
    assert levels_to_raise({"group.version": levels}) == ({} if raised is None else {"group.version": raised})


def test_the_vote_of_controllers_stays_as_it_is() -> None:
    assert levels_to_raise({"kraft.version": {"supported": (0, 1)}}) == {}


def test_kafka_is_ready_when_nothing_is_left_to_raise() -> None:
    controller = Controller({"group.version": AT_ZERO})
    assert not has_newest_features(controller)
    assert controller.asked == [{"group.version": 2}]
    controller.features = {"group.version": {"supported": (0, 2), "finalized": (2, 2)}}
    assert has_newest_features(controller)
    assert len(controller.asked) == 1


@pytest.mark.parametrize(
    "error",
    [UnknownBrokerIdError(2), InvalidUpdateVersionError("broker 2 has not registered")],
)
def test_a_start_waits_for_another_node_that_still_starts(error: Exception) -> None:
    assert not has_newest_features(Controller({"group.version": AT_ZERO}, error))


def test_a_refusal_ends_the_start_and_names_the_levels() -> None:
    controller = Controller({"group.version": AT_ZERO}, InvalidUpdateVersionError("too high"))
    with pytest.raises(LocalServiceError, match=r"refuses to raise .*'group.version': 2.*too high"):
        has_newest_features(controller)


def test_a_controller_that_does_not_answer_yet_is_asked_again() -> None:
    controller = Controller({"group.version": AT_ZERO}, RequestTimedOutError())
    with pytest.raises(RequestTimedOutError):
        has_newest_features(controller)

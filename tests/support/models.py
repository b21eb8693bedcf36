"""Comparison of models."""

from encoder.model.user_model import UserModel


def assert_same_weights(one: UserModel, other: UserModel) -> None:
    """Fail unless both models have the same weights, to the last bit."""
    for name, value in one.state_dict().items():
        assert value.numpy().tobytes() == other.state_dict()[name].numpy().tobytes(), name

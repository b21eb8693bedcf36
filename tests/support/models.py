"""Comparison of models."""

from encoder.model.user_model import UserModel


def assert_same(one: UserModel, other: UserModel) -> None:
    for name, value in one.state_dict().items():
        assert value.numpy().tobytes() == other.state_dict()[name].numpy().tobytes(), name

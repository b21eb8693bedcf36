"""Errors of the live system, under the one root in `encoder.errors`."""

from encoder.errors import BundleError, InputError, ThalwegError

__all__ = [
    "BrokerError",
    "BundleError",
    "InputError",
    "SettingsError",
    "StateFormatError",
    "StoreError",
    "ThalwegError",
]


class SettingsError(ThalwegError):
    """A setting that is unknown, of the wrong type, out of range, or one that a server refuses (user, password, CA)."""


class BrokerError(ThalwegError):
    """Kafka did not answer or refused what was asked."""

    retryable = True


class StateFormatError(ThalwegError):
    """An intact state that another version of Thalweg stored."""


class StoreError(ThalwegError):
    """Cassandra did not answer or refused what was asked."""

    retryable = True

"""Errors of the live system. The root of the tree is `encoder.errors.ThalwegError`."""

from encoder.errors import BundleError, InputError, ThalwegError

__all__ = [
    "ArchiveError",
    "BrokerError",
    "BundleError",
    "InputError",
    "RegistryError",
    "RightsError",
    "SettingsError",
    "SparkError",
    "StateFormatError",
    "StoreBehindError",
    "StoreError",
    "ThalwegError",
    "TopicRemadeError",
    "restart_helps",
]


class SettingsError(ThalwegError):
    """A setting is unknown, of the wrong type or out of range, or a server refuses a setting (user, password, CA)."""

    retryable = False


class RightsError(SettingsError):
    """The user of Kafka or of Cassandra that the settings name lacks rights."""

    retryable = False


class StateFormatError(ThalwegError):
    """Another version of Thalweg stored the state, and the state is intact."""

    retryable = False


class BrokerError(ThalwegError):
    """Kafka did not answer, or Kafka refused a request."""

    retryable = True


class TopicRemadeError(BrokerError):
    """The behaviour topic was deleted and made again while a worker read the topic.

    A restart of the worker helps.
    """

    retryable = False


class RegistryError(ThalwegError):
    """The schema registry did not answer, or answered a request with a failure of its own."""

    retryable = True


class ArchiveError(ThalwegError):
    """The files of an archive could not be read or written, or another process changes them."""

    retryable = True


class SparkError(ThalwegError):
    """Spark could not be started, or a job of Spark failed."""

    retryable = True


class StoreError(ThalwegError):
    """Cassandra did not answer, or Cassandra refused a request."""

    retryable = True


class StoreBehindError(StoreError):
    """Cassandra lacks rows that were confirmed: somebody has restored an older state or deleted rows."""

    retryable = False


def restart_helps(error: ThalwegError) -> bool:
    """True where a new worker may go on after this error. False where somebody has to change something first."""
    return error.retryable or isinstance(error, TopicRemadeError)

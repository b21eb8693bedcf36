"""The root of all errors that Thalweg reports, and the errors of offline work. `streams` adds classes of its own."""


class ThalwegError(Exception):
    """An error that Thalweg itself reports. The message names the value, where the value stood and what to do.

    `retryable` is True when the same call may succeed later although nobody has changed anything.
    """

    retryable: bool = False


class InputError(ThalwegError):
    """A user gave a value (an argument, a file, a line of a log) that cannot be used as it is."""

    retryable = False


class TrainingError(ThalwegError):
    """A training has diverged, so there is no model to save."""

    retryable = False


class BundleError(ThalwegError):
    """A bundle is missing or incomplete, was changed after its export, or does not fit the stored states."""

    retryable = False

"""The root of Thalweg's errors: one small tree, each class saying whether a retry can help."""


class ThalwegError(Exception):
    """Anything that Thalweg reports itself. The message names the value, where it stood and what to do.

    `retryable` is True where the same call may succeed later without anyone changing anything.
    """

    retryable: bool = False


class InputError(ThalwegError):
    """A value from a user (argument, file, log line) that cannot be used as it is."""


class BundleError(ThalwegError):
    """A bundle that is missing, incomplete, changed since it was exported, or does not fit the stored state."""

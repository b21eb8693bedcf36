"""The error of the local services."""

from encoder.errors import ThalwegError


class LocalServiceError(ThalwegError):
    """A local service that did not start, that stopped by itself, or whose program cannot be downloaded."""

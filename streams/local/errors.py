"""Errors of the local services."""

from encoder.errors import ThalwegError


class LocalServiceError(ThalwegError):
    """A local service that did not start, stopped by itself, or whose program cannot be had."""

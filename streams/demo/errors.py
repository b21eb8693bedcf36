"""The error of the demo."""

from streams.config.errors import ThalwegError


class DemoError(ThalwegError):
    """A step of the demo that failed."""

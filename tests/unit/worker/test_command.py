"""What `thalweg worker` reports when its application cannot start."""

import asyncio
import logging
import sys
from types import SimpleNamespace

import mode
import pytest
from mode.utils.locks import Event

from streams.config.errors import BrokerError, SettingsError, ThalwegError
from streams.worker.command import Worker, _execute


class Unstartable(mode.Service):
    """A service whose start raises, as that of the worker's application does when a port is taken."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def on_start(self) -> None:
        raise self.error


def worker(error: Exception) -> mode.Worker:
    started = mode.Worker(Unstartable(error), loop=asyncio.new_event_loop(), quiet=True, override_logging=False)
    started.daemon = False
    return started


@pytest.mark.parametrize("error", [SettingsError("http_port = 1"), BrokerError("no broker answers")])
def test_an_error_of_the_start_is_the_error_of_the_command(error: ThalwegError) -> None:
    with pytest.raises(type(error), match=str(error)):
        _execute(worker(error))


def test_an_error_behind_another_error_is_found() -> None:
    error = RuntimeError("while it stopped")
    error.__context__ = BrokerError("the broker refused this client")
    with pytest.raises(BrokerError, match="refused this client"):
        _execute(worker(error))


def test_the_first_error_of_a_crash_is_the_error_of_the_command() -> None:
    """The crash ends an agent, whose end is another reason of the same crash."""
    crashed, error = object.__new__(Worker), BrokerError("the broker refused this client")
    crashed._crashed, crashed._children, crashed.crash_reason = Event(), [], None
    for reason in (asyncio.CancelledError(), error, asyncio.CancelledError(), BrokerError("another owner")):
        crashed._crash(reason)
    assert crashed.crash_reason is error


def test_an_error_of_another_kind_ends_with_code_1_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as stopped:
        _execute(worker(ValueError("nobody expected this")))
    assert stopped.value.code == 1
    assert "nobody expected this" in caplog.text


def test_stacks_in_the_log_hold_no_values(capfd: pytest.CaptureFixture[str]) -> None:
    """The stacks go to the log at SIGUSR1. Local variables hold the events and rows of users."""

    async def hold_an_event(event: str) -> None:
        await asyncio.sleep(60)

    async def print_stacks() -> None:
        holding = asyncio.create_task(hold_an_event("event-of-ann"))
        await asyncio.sleep(0)
        await Worker._cry(SimpleNamespace(stderr=sys.stderr))
        holding.cancel()

    asyncio.run(print_stacks())
    printed = capfd.readouterr().err
    assert "hold_an_event" in printed
    assert "in print_stacks" in printed
    assert "event-of-ann" not in printed

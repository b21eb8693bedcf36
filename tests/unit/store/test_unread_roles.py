"""A Cassandra that cannot read its roles refuses nothing: requests are sent again, and logins may succeed later."""

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import AuthenticationFailed, Unauthorized
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import ErrorMessage, UnauthorizedErrorMessage

from streams.config.errors import SettingsError, StoreError, restart_helps
from streams.config.settings import Settings
from streams.store import session as session_module
from streams.store.protocol import cluster as cluster_module
from streams.store.rights import could_not_check, grant_text, remedy_text
from streams.store.session import Session

NO_QUORUM = "Cannot achieve consistency level LOCAL_QUORUM"
UNCHECKED = (
    f"Unable to perform authorization of permissions: {NO_QUORUM}",
    f"Unable to perform authorization of permissions: Unable to perform authorization of login permission: {NO_QUORUM}",
    "Unable to perform authorization of super-user permission: Operation timed out - received only 0 responses.",
)
MISSING = "User anna has no MODIFY permission on <table shop.positions> or any of its parents"
LOGIN = "Failed to authenticate to 127.0.0.1:9042: Error from server: "
WRONG_PASSWORD = LOGIN + 'code=0100 [Bad credentials] message="Provided username anna and/or password are incorrect"'


def unauthorized(message: str) -> Exception:
    """Return the driver's error for an answer of Cassandra."""
    error: Exception = UnauthorizedErrorMessage(0x2100, message, None).to_exception()
    assert isinstance(error, Unauthorized)
    return error


class Answers:
    """The driver's session, which answers with errors first."""

    is_shutdown = False

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def execute_async(self, *_: Any) -> Any:
        """Return a future of the driver, as far as `driver_answer` uses one."""
        error = self.errors.pop(0) if self.errors else None

        def add_callbacks(succeed: Callable[[Any], None], fail: Callable[[Any], None]) -> None:
            succeed([1]) if error is None else fail(error)

        is_set = SimpleNamespace(is_set=lambda: True)
        return SimpleNamespace(add_callbacks=add_callbacks, clear_callbacks=lambda: None, _event=is_set, _timer=None)

    def execute(self, *_: Any, **__: Any) -> Any:
        raise self.errors.pop(0)


def session_of(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(session_module, "connect", lambda *_: (None, answers))
    return Session(Settings())


@pytest.mark.parametrize("message", UNCHECKED)
def test_a_request_whose_right_could_not_be_checked_is_sent_again(
    message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    session = session_of(Answers(unauthorized(message), unauthorized(message)), monkeypatch)
    assert asyncio.run(session.request("SELECT")) == [1]
    assert session.retries == 2
    assert "Cassandra does not take requests" in caplog.text
    assert "system_auth" in caplog.text


def test_a_request_without_the_right_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(Answers(unauthorized(MISSING)), monkeypatch)
    with pytest.raises(StoreError, match=r"refused a request: .*GRANT MODIFY ON TABLE shop.positions TO anna"):
        asyncio.run(session.request("SELECT"))
    assert session.retries == 0


@pytest.mark.parametrize("message", UNCHECKED)
def test_unread_roles_are_no_missing_right(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(Answers(unauthorized(message)), monkeypatch)
    with pytest.raises(StoreError, match=r"failed to try: .*too few replicas of keyspace system_auth") as failed:
        session.execute("try", "INSERT")
    assert restart_helps(failed.value)
    assert "GRANT" not in str(failed.value)
    assert grant_text(str(failed.value)) == ""
    assert could_not_check(str(failed.value))


def test_a_missing_right_is_no_unread_role() -> None:
    assert not could_not_check(str(unauthorized(MISSING)))
    assert "GRANT MODIFY" in remedy_text(str(unauthorized(MISSING)))


def connecting(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Connect to nodes of which each answers a login with such an error."""
    errors: dict[str, Exception] = {}
    for number, answer in enumerate(answers):

        def fail(*_: Any, answer: str = answer) -> None:
            raise AuthenticationFailed(answer)

        monkeypatch.setattr(cluster_module.DefaultConnection, "factory", fail)
        with pytest.raises(cluster_module._LoginRefused) as refused:
            cluster_module._Connection.factory("127.0.0.1", 5)
        errors[f"127.0.0.{number}"] = refused.value

    def connect(_: Any) -> None:
        raise NoHostAvailable("Unable to connect to any servers", errors)

    monkeypatch.setattr(cluster_module._Cluster, "connect", connect)
    cluster_module.connect(Settings(cassandra_user="anna", cassandra_password="p"))


@pytest.mark.parametrize(
    "answer",
    [
        LOGIN + f'code=0100 [Bad credentials] message="Unable to perform authentication: {NO_QUORUM}"',
        LOGIN + f'code=0100 [Bad credentials] message="Unable to perform authentication: {UNCHECKED[2]}"',
        LOGIN + ErrorMessage(0x1000, NO_QUORUM, None).summary_msg().removeprefix("Error from server: "),
    ],
)
def test_a_login_that_could_not_be_checked_may_succeed_later(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match=r"could check the login of user 'anna'.*system_auth") as failed:
        connecting(monkeypatch, answer)
    assert restart_helps(failed.value)
    assert "PASSWORD" not in str(failed.value)


def test_a_refused_login_names_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another node could not check the login."""
    unchecked = LOGIN + f'code=0100 [Bad credentials] message="Unable to perform authentication: {NO_QUORUM}"'
    for answers in ([WRONG_PASSWORD], [unchecked, WRONG_PASSWORD], ["Remote end requires authentication"]):
        with pytest.raises(SettingsError, match=r"refused user 'anna'.*THALWEG_CASSANDRA_PASSWORD"):
            connecting(monkeypatch, *answers)

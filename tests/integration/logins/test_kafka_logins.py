"""Every login at a real Kafka, by both client libraries, and an error of its own for every wrong use."""

import asyncio
import logging
import re
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import NewTopic

from streams.broker.clients import open_consumer, open_producer
from streams.broker.topics import broker_admin
from streams.config.errors import ThalwegError
from streams.config.logins import token_providers
from streams.config.settings import Settings
from tests.integration.logins.authority import Authority
from tests.integration.logins.logins import KAFKA_LOGINS, Logins

WRONG = "Zx81-wrong-and-not-to-be-seen"
REFUSED_WITHIN_S = 6.0


@pytest.mark.parametrize("login", KAFKA_LOGINS)
def test_both_libraries_log_in_and_log_no_secret(logins: Logins, login: str, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("aiokafka", "kafka", ""):  # earlier tests may have made the loggers of the clients silent
        caplog.set_level(logging.DEBUG, name)
    settings, topic = Settings(**logins.kafka(login)), uuid.uuid4().hex
    with broker_admin(settings) as admin:
        admin.create_topics([NewTopic(topic, 1, 1)])
    assert asyncio.run(round_trip(settings, topic)) == b"there and back"
    assert "SaslAuthenticateRequest" in caplog.text or login == "client certificate"
    assert "aiokafka" in caplog.text
    assert [secret for secret in logins.secrets() if secret in caplog.text] == []


async def round_trip(settings: Settings, topic: str) -> bytes:
    """Return the value of a record that was sent and read again."""
    async with open_producer(settings, "test") as producer:
        await producer.send_and_wait(topic, b"there and back")
    async with open_consumer(settings, "test") as consumer:
        consumer.subscribe([topic])
        value: bytes = (await asyncio.wait_for(consumer.getone(), 20)).value
        return value


OFFERED_BY_PLAIN = "the broker offers PLAIN, SCRAM-SHA-256"
WRONG_USES: list[tuple[str, dict[str, Any], str]] = [
    ("PLAIN", {"broker_password": WRONG}, r"refused user 'anna'.*THALWEG_BROKER_PASSWORD"),
    ("SCRAM-SHA-256", {"broker_password": WRONG}, r"refused user 'anna'.*THALWEG_BROKER_PASSWORD"),
    ("SCRAM-SHA-512", {"broker_password": WRONG}, r"refused user 'anna'.*THALWEG_BROKER_PASSWORD"),
    ("OAUTHBEARER", {"broker_password": WRONG}, r"refused client 'thalweg worker'.*THALWEG_BROKER_PASSWORD"),
    ("OAUTHBEARER", {"broker_token_scope": "other"}, r"refused the scope.*THALWEG_BROKER_TOKEN_SCOPE"),
    ("PLAIN", {"broker_mechanism": None}, f"does not offer SCRAM-SHA-512: {OFFERED_BY_PLAIN}; set .*BROKER_MECHANISM"),
    ("SCRAM-SHA-512", {"broker_mechanism": "PLAIN"}, "does not offer PLAIN: the broker offers SCRAM-SHA-512"),
    (
        "PLAIN",
        {"broker_mechanism": None, "broker_user": None, "broker_password": None},
        f"refused a client without a user: {OFFERED_BY_PLAIN}; set .*THALWEG_BROKER_MECHANISM.*THALWEG_BROKER_USER",
    ),
    (
        "client certificate",
        {"broker_certificate": None, "broker_key": None, "broker_key_password": None},
        "asks for a client certificate.*THALWEG_BROKER_CERTIFICATE.*THALWEG_BROKER_KEY",
    ),
    ("client certificate", {"broker_key_password": WRONG}, "is THALWEG_BROKER_KEY_PASSWORD the password of the key"),
    ("client certificate", {"broker_key_password": None}, "A key that is encrypted needs THALWEG_BROKER_KEY_PASSWORD"),
    ("client certificate", {"broker_user": "anna", "broker_password": WRONG}, "takes no logins with SASL at this port"),
]


@pytest.mark.parametrize(("login", "changed", "message"), WRONG_USES)
def test_a_wrong_use_has_an_error_of_its_own(
    logins: Logins, login: str, changed: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("aiokafka", "kafka", ""):  # earlier tests may have made the loggers of the clients silent
        caplog.set_level(logging.DEBUG, name)
    error = refused(Settings(**{**logins.kafka(login), **changed}))
    assert not error.retryable
    assert_matches(message, str(error))
    for secret in [WRONG, *logins.secrets()]:
        assert secret not in caplog.text
        assert secret not in str(error)


def test_a_certificate_that_the_broker_does_not_trust(logins: Logins, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path, "nobody").issue("stranger", "client")
    changed = {"broker_certificate": certificate, "broker_key": key, "broker_key_password": None}
    error = refused(Settings(**{**logins.kafka("client certificate"), **changed}))
    assert_matches("does not accept the client certificate .*stranger.*THALWEG_BROKER_CERTIFICATE", str(error))


def test_a_token_that_ended_names_both_clocks(logins: Logins) -> None:
    logins.issuer.late_s = 1000.0
    try:
        error = refused(Settings(**logins.kafka("OAUTHBEARER"), keyspace="late"))
    finally:
        logins.issuer.late_s = 0.0
    assert_matches(
        "refused a token: .*invalid_token.*gave a token that ended at .*Z: look at both machines' clocks", str(error)
    )


def test_a_token_that_the_broker_does_not_accept_names_what_it_depends_on(logins: Logins) -> None:
    logins.issuer.audience = "another"
    try:
        error = refused(Settings(**logins.kafka("OAUTHBEARER"), keyspace="audience"))
    finally:
        logins.issuer.audience = "kafka"
    assert_matches(
        "refused a token: .*invalid_token.*does the broker trust the issuer.*THALWEG_BROKER_TOKEN_SCOPE", str(error)
    )


def test_an_issuer_that_does_not_answer_is_no_fault_of_a_setting(logins: Logins) -> None:
    for changed in ({"broker_token_url": "http://127.0.0.1:9/token"}, {}):
        logins.issuer.is_down = True
        try:
            error = refused(Settings(**{**logins.kafka("OAUTHBEARER"), **changed}, keyspace="down"))
        finally:
            logins.issuer.is_down = False
        assert error.retryable
        assert_matches(r"the issuer of tokens at .*THALWEG_BROKER_TOKEN_URL", str(error))


def refused(settings: Settings) -> ThalwegError:
    token_providers.broker_token.cache_clear()
    began_s = time.monotonic()
    with pytest.raises(ThalwegError) as caught, broker_admin(settings):
        pass
    assert time.monotonic() - began_s < REFUSED_WITHIN_S
    return caught.value


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text

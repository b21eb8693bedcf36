"""The token for Amazon MSK is an address with a signature of AWS, which is recomputed here from its specification.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import base64
import hashlib
import hmac
import logging
import sys
import time
import urllib.parse
from pathlib import Path

import pytest

from streams.config.errors import SettingsError
from streams.config.logins.aws_msk_iam import fetch_token, region_of
from streams.config.settings import Settings

KEY_ID, KEY, SESSION_TOKEN = "AKIDEXAMPLE", "Zx81+secret/key", "Zx81-session/token=="
SETTINGS = Settings(broker="b-1.shop.kafka.eu-west-1.amazonaws.com:9098", broker_mechanism="AWS_MSK_IAM")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION_TOKEN)


def test_the_signature_is_that_of_the_specification(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = fetch_token(SETTINGS)
    assert 890 < token.expires_s - time.time() <= 900
    url = base64.urlsafe_b64decode(token.text + "=" * (-len(token.text) % 4)).decode()
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "kafka.eu-west-1.amazonaws.com", "/")
    assert (query["Action"], query["X-Amz-Expires"]) == ("kafka-cluster:Connect", "900")
    assert query.pop("User-Agent")  # added after the signature
    assert query["X-Amz-Signature"] == signature(parts.netloc, query)
    for secret in (KEY, SESSION_TOKEN, query["X-Amz-Signature"], token.text):
        assert secret not in caplog.text
        assert urllib.parse.quote_plus(secret) not in caplog.text
    assert token.text not in repr(token)


def signature(host: str, query: dict[str, str]) -> str:
    """Return the signature of a GET request without a body, for the key of this file."""
    algorithm = query["X-Amz-Algorithm"]
    key_id, *scope = query["X-Amz-Credential"].split("/")
    day, region, service, end = scope
    assert (algorithm, key_id, region, service, end) == (
        *("AWS4-HMAC-SHA256", KEY_ID, "eu-west-1"),
        *("kafka-cluster", "aws4_request"),
    )
    signed = sorted((quote(name), quote(value)) for name, value in query.items() if name != "X-Amz-Signature")
    canonical_query = "&".join(f"{name}={value}" for name, value in signed)
    request = ["GET", "/", canonical_query, f"host:{host}", "", "host", hashlib.sha256(b"").hexdigest()]
    hashed = hashlib.sha256("\n".join(request).encode()).hexdigest()
    text = "\n".join([algorithm, query["X-Amz-Date"], "/".join(scope), hashed])
    key = f"AWS4{KEY}".encode()
    for part in (day, region, service, end, text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def quote(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match="no credentials of AWS: set AWS_ACCESS_KEY_ID"):
        fetch_token(SETTINGS)


def test_a_missing_signer_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.config.logins.aws_msk_iam.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(SettingsError, match=r"pip install 'thalweg\[msk\]'"):
        fetch_token(SETTINGS)


@pytest.mark.parametrize(
    ("broker", "region"),
    [
        ("b-1.shop.abc.c2.kafka.us-east-2.amazonaws.com:9098,b-2.x:9098", "us-east-2"),
        ("boot-x.c1.kafka-serverless.ap-south-1.amazonaws.com:9098", "ap-south-1"),
        ("kafka.internal:9098", "eu-north-1"),
    ],
)
def test_the_region_stands_in_the_host_name_or_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, broker: str, region: str
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert region_of(broker) == region


def test_a_missing_region_is_named() -> None:
    with pytest.raises(SettingsError, match="set AWS_REGION"):
        region_of("kafka.internal:9098")

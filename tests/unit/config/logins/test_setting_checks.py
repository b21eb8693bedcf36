"""Settings of a login that do not fit together are told before any server is asked."""

import pytest

from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.config.logins.token_providers import token_extensions
from streams.config.settings import Settings

USER = {"BROKER_USER": "anna", "BROKER_PASSWORD": "x"}
TOKENS = {**USER, "BROKER_MECHANISM": "OAUTHBEARER", "BROKER_TOKEN_URL": "https://issuer/token"}
AWS = {"BROKER_MECHANISM": "AWS_MSK_IAM"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"BROKER_MECHANISM": "plain"}, r"THALWEG_BROKER_MECHANISM.*known: SCRAM-SHA-512, SCRAM-SHA-256, PLAIN"),
        ({"BROKER_MECHANISM": "PLAIN"}, "has no user: set THALWEG_BROKER_USER"),
        ({"BROKER_KEY": "k"}, "set THALWEG_BROKER_CERTIFICATE"),
        ({"CASSANDRA_KEY_PASSWORD": "k"}, "set THALWEG_CASSANDRA_CERTIFICATE"),
        ({"CASSANDRA_CERTIFICATE": "c"}, "needs TLS: set THALWEG_CASSANDRA_CA"),
        ({"CASSANDRA_SECURE_BUNDLE": "b", "CASSANDRA_CA": "c"}, "both set: keep one"),
        ({"CASSANDRA_SECURE_BUNDLE": "b", "CASSANDRA_ADDRESSES": "::1=h:1"}, "both set: keep one"),
        ({**AWS, **USER}, "takes the credentials of AWS: leave out broker_user"),
        (AWS, r"needs TLS: set broker_ca .* to 'system'"),
        ({**USER, "BROKER_MECHANISM": "OAUTHBEARER"}, r"needs broker_token_url .*: the token endpoint"),
        ({**USER, "BROKER_TOKEN_SCOPE": "s"}, "set broker_mechanism .* to 'OAUTHBEARER'"),
        ({**TOKENS, "BROKER_TOKEN_URL": "http://issuer/token"}, "is no https address"),
        ({**TOKENS, "BROKER_TOKEN_URL": "issuer/token"}, "is no https address"),
        ({**TOKENS, "BROKER_TOKEN_EXTENSIONS": "a=b,pool"}, "'pool' is not name=value"),
    ],
)
def test_settings_that_do_not_fit_together(given: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings({f"THALWEG_{name}": value for name, value in given.items()})


@pytest.mark.parametrize(
    "given", [TOKENS, {**TOKENS, "BROKER_TOKEN_URL": "http://localhost:1/t"}, {**AWS, "BROKER_CA": "c"}]
)
def test_settings_that_fit_together(given: dict[str, str]) -> None:
    assert (
        load_settings({f"THALWEG_{name}": value for name, value in given.items()}).mechanism
        == given["BROKER_MECHANISM"]
    )


def test_extensions_are_read_by_name() -> None:
    settings = Settings(broker_token_extensions="logicalCluster=lkc-1, identityPoolId=pool-a=b")
    assert token_extensions(settings) == {"logicalCluster": "lkc-1", "identityPoolId": "pool-a=b"}


def test_a_secure_bundle_keeps_the_local_services_out(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "local.json").write_text('{"access": {"broker": "h:1", "cassandra": "h:2", "cassandra_ca": "ca"}}')
    settings = load_settings({"THALWEG_HOME": str(tmp_path), "THALWEG_CASSANDRA_SECURE_BUNDLE": "b.zip"})
    assert (settings.broker, settings.cassandra_ca) == ("h:1", None)
    assert settings.place_of("cassandra") == "the secure connect bundle b.zip"

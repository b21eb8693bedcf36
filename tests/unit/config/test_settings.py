import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import trustme
from prometheus_client import CollectorRegistry

from streams.config.errors import SettingsError
from streams.config.security import broker_arguments, tls_context
from streams.config.settings import Settings, load_settings
from streams.health.endpoints import Endpoints

SECRET = "Zx81-not-to-be-seen"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "thalweg.toml"
    file.write_text('keyspace = "a"\npartitions = 8\n')
    loaded = load_settings({"THALWEG_CONFIG": str(file), "THALWEG_KEYSPACE": "b", "THALWEG_HOME": str(tmp_path)})
    assert (loaded.keyspace, loaded.partitions) == ("b", 8)


def test_addresses_of_local_services_are_taken_where_none_are_named(tmp_path: Path) -> None:
    access = {"broker": "127.0.0.1:1", "broker_user": "local", "broker_password": SECRET, "cassandra": "127.0.0.1:2"}
    (tmp_path / "local.json").write_text(json.dumps({"access": access}))
    home = {"THALWEG_HOME": str(tmp_path)}
    loaded = load_settings(home)
    assert (loaded.broker, loaded.broker_user, loaded.broker_password) == ("127.0.0.1:1", "local", SECRET)
    loaded = load_settings({**home, "THALWEG_BROKER": "kafka:9"})
    assert (loaded.broker, loaded.cassandra) == ("kafka:9", "127.0.0.1:2")
    assert (loaded.broker_user, loaded.broker_password) == (None, None), "a local password must go nowhere else"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"THALWEG_PARTITIONS": "many"}, "THALWEG_PARTITIONS.*'many'"),
        ({"THALWEG_PARTITIONS": "0"}, "THALWEG_PARTITIONS.*'0'"),
        ({"THALWEG_EVALUATION_SHARE": "0"}, "THALWEG_EVALUATION_SHARE.*'0'"),
        ({"THALWEG_EVALUATION_SHARE": "1.5"}, "THALWEG_EVALUATION_SHARE.*'1.5'"),
        ({"THALWEG_BROKERS": "kafka:9092"}, "THALWEG_BROKERS.*broker"),
        ({"THALWEG_HTTP_PORT": "70000"}, "THALWEG_HTTP_PORT.*'70000'"),
        ({"THALWEG_BROKER": "kafka"}, "THALWEG_BROKER.*'kafka'.*kafka:9092"),
        ({"THALWEG_BROKER": "kafka:9092,"}, "THALWEG_BROKER.*host:port"),
        ({"THALWEG_CASSANDRA": "db-1:9042, db-2"}, "THALWEG_CASSANDRA.*'db-2'.*db-2:9042"),
        ({"THALWEG_CASSANDRA": "db:99999"}, "THALWEG_CASSANDRA.*'db:99999'"),
        ({"THALWEG_BROKER_USER": "anna"}, "'anna'.*THALWEG_BROKER_PASSWORD_FILE"),
        ({"THALWEG_CASSANDRA_PASSWORD_FILE": "/does/not/exist"}, "cassandra_password_file.*/does/not/exist"),
        ({"THALWEG_CONFIG": "/does/not/exist.toml"}, "/does/not/exist.toml"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(tmp_path: Path, environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_settings({"THALWEG_HOME": str(tmp_path), **environment})


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "thalweg.toml"
    file.write_text('keyspce = "a"\n')
    with pytest.raises(SettingsError, match="keyspce"):
        load_settings({"THALWEG_CONFIG": str(file), "THALWEG_HOME": str(tmp_path)})


def test_a_secret_from_the_environment_or_a_file_is_masked_wherever_it_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    config = tmp_path / "thalweg.toml"
    config.write_text(f'broker_user = "anna"\nbroker_password_file = "{file}"\n')
    environment = {"THALWEG_HOME": str(tmp_path), "THALWEG_CONFIG": str(config), "THALWEG_CASSANDRA_USER": "anna"}
    for given in ({"THALWEG_CASSANDRA_PASSWORD": SECRET}, {"THALWEG_CASSANDRA_PASSWORD_FILE": str(file)}):
        loaded = load_settings(environment | given)
        assert loaded.broker_password == loaded.cassandra_password == SECRET
        shown = repr(loaded) + str(loaded) + repr(broker_arguments(loaded)) + repr(list(loaded.__rich_repr__()))
        assert SECRET not in shown
        assert "'***'" in shown
    assert SECRET not in repr(Settings(broker_user="anna", broker_password=SECRET))


@pytest.mark.parametrize(
    "given",
    [
        {"THALWEG_BROKER_PASSWORD": SECRET},  # and no user
        {"THALWEG_BROKER_PASSWORD": SECRET, "THALWEG_BROKER_PASSWORD_FILE": "/tmp/password"},
        {"THALWEG_BROKER_PASSWORDS": SECRET},
        {"THALWEG_CASSANDRA_PASSWORD": SECRET, "THALWEG_CASSANDRA_USER": "anna", "THALWEG_CASSANDRA": "db"},
    ],
)
def test_an_error_does_not_show_the_secret(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"broker_password|THALWEG_BROKER_PASSWORD|cassandra") as refused:
        load_settings({"THALWEG_HOME": str(tmp_path), **given})
    assert SECRET not in str(refused.value)


def test_a_secret_that_is_no_text_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "thalweg.toml"
    file.write_text('broker_user = "anna"\nbroker_password = 8051\n')
    with pytest.raises(SettingsError, match="THALWEG_BROKER_PASSWORD") as refused:
        load_settings({"THALWEG_CONFIG": str(file), "THALWEG_HOME": str(tmp_path)})
    assert "8051" not in str(refused.value)


def test_the_endpoints_listen_on_this_machine_alone_unless_told_otherwise(tmp_path: Path) -> None:
    settings = load_settings({"THALWEG_HOME": str(tmp_path)})
    assert settings.http_host == "127.0.0.1"

    async def address() -> str:
        endpoints = Endpoints(settings.http_host, settings.http_port, CollectorRegistry(), lambda: "ok", lambda: True)
        try:
            return await endpoints.start()
        finally:
            await endpoints.stop()

    assert asyncio.run(address()).startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"broker_user": "anna", "broker_password": SECRET}, "SASL_PLAINTEXT"),
        ({"broker_ca": "ca.pem"}, "SSL"),
        ({"broker_ca": "ca.pem", "broker_user": "anna", "broker_password": SECRET}, "SASL_SSL"),
    ],
)
def test_user_and_authority_choose_the_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], protocol: str
) -> None:
    monkeypatch.chdir(tmp_path)
    trustme.CA().cert_pem.write_to_path("ca.pem")
    arguments = broker_arguments(Settings(**given))
    assert arguments["security_protocol"] == protocol
    assert arguments.get("sasl_mechanism") == ("SCRAM-SHA-512" if "broker_user" in given else None)
    assert (arguments["ssl_context"] is not None) == ("broker_ca" in given)


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for file in (tmp_path / "empty.pem", tmp_path / "none.pem"):
        with pytest.raises(SettingsError, match=f"THALWEG_CASSANDRA_CA.*{file.name}"):
            tls_context(Settings(cassandra_ca=str(file)), "cassandra")

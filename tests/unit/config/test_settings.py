"""Where settings come from, and how a wrong setting is reported."""

import json
from pathlib import Path
from typing import Any

import pytest

from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.config.security import aiokafka_arguments
from streams.config.settings import Settings

SECRET = "Zx81-not-to-be-seen"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "thalweg.toml"
    file.write_text('keyspace = "a"\npartitions = 8\n')
    loaded = load_settings({"THALWEG_CONFIG": str(file), "THALWEG_KEYSPACE": "b", "THALWEG_HOME": str(tmp_path)})
    assert (loaded.keyspace, loaded.partitions) == ("b", 8)


def test_an_unknown_partitioner_is_refused_with_the_known_ones() -> None:
    assert load_settings({"THALWEG_PARTITIONER": "fnv1a"}).partitioner == "fnv1a"
    with pytest.raises(SettingsError, match=r"THALWEG_PARTITIONER\) = 'md5': .*known: murmur2, crc32, fnv1a"):
        load_settings({"THALWEG_PARTITIONER": "md5"})


def test_local_services_are_used_when_no_address_is_set(tmp_path: Path) -> None:
    access: dict[str, str | int] = {
        "broker": "127.0.0.1:1",
        "broker_user": "local",
        "broker_password": SECRET,
        "cassandra": "127.0.0.1:2",
    }
    access["replication"] = 3
    (tmp_path / "local.json").write_text(json.dumps({"access": access}))
    home = {"THALWEG_HOME": str(tmp_path)}
    loaded = load_settings(home)
    assert (loaded.broker, loaded.broker_user, loaded.broker_password) == ("127.0.0.1:1", "local", SECRET)
    assert loaded.replication == 3
    assert load_settings({**home, "THALWEG_REPLICATION": "2"}).replication == 2
    loaded = load_settings({**home, "THALWEG_BROKER": "kafka:9"})
    assert (loaded.broker, loaded.cassandra) == ("kafka:9", "127.0.0.1:2")
    assert (loaded.broker_user, loaded.broker_password) == (None, None), "a local password goes to no other broker"
    assert loaded.replication == 1, "the other broker may have fewer nodes"


def test_the_file_of_the_local_services_is_named_where_it_cannot_be_read_and_is_needed(tmp_path: Path) -> None:
    home = {"THALWEG_HOME": str(tmp_path)}
    (tmp_path / "local.json").mkdir()  # stands for a file of another user, because root may read every file
    with pytest.raises(SettingsError, match=r"local\.json.* cannot be read: Is a directory; set THALWEG_HOME"):
        load_settings({**home, "THALWEG_BROKER": "kafka:9"})
    assert load_settings({**home, "THALWEG_BROKER": "kafka:9", "THALWEG_CASSANDRA": "db:1"}).cassandra == "db:1"
    (tmp_path / "file").touch()
    assert load_settings({"THALWEG_HOME": str(tmp_path / "file" / "x")}).broker == "127.0.0.1:9092"


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
        *(
            ({"THALWEG_CASSANDRA_ADDRESSES": f"10.0.0.5=db:1, {wrong}"}, f"THALWEG_CASSANDRA_ADDRESSES.*: '{wrong}'")
            for wrong in ("", "db:1", "db=db:1", "10.0.0.6=db", "10.0.0.6=db:0", "10.0.0.6:9042=db:1")
        ),
        ({"THALWEG_CASSANDRA_ADDRESSES": "::1=db:1,0:0::1=db:2"}, "names 0:0::1 twice"),
        (
            {"THALWEG_DEAD_LETTER_TOPIC": "behavior.events.v1"},
            "THALWEG_BEHAVIOR_TOPIC.*THALWEG_DEAD_LETTER_TOPIC.*are both 'behavior.events.v1'",
        ),
        # An empty host would be every address of the machine.
        *(({f"THALWEG_{name}": ""}, f"THALWEG_{name}.*''") for name in ("HTTP_HOST", "GROUP", "UPDATES_TOPIC")),
        ({"THALWEG_BROKER_USER": "anna"}, "'anna'.*THALWEG_BROKER_PASSWORD_FILE"),
        ({"THALWEG_CASSANDRA_PASSWORD_FILE": "/does/not/exist"}, "cassandra_password_file.*/does/not/exist"),
        ({"THALWEG_ALARMS_WEBHOOK": "localhost:9093"}, "THALWEG_ALARMS_WEBHOOK.*'localhost:9093'.*http://"),
        ({"THALWEG_CONFIG": "/does/not/exist.toml"}, "/does/not/exist.toml"),
        ({"THALWEG_CONFIG": "/"}, "THALWEG_CONFIG names /, which cannot be read: Is a directory"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(tmp_path: Path, environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_settings({"THALWEG_HOME": str(tmp_path), **environment})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("partitions", "many", "a whole number of at least 1"),
        ("http_port", "70000", "a whole number of at least 0 and of at most 65535"),
        ("user_ttl_days", "0", "a whole number of at least 1 and of at most 7000"),
        ("evaluation_share", "0", "a number above 0 and of at most 1"),
        ("updates_noise_delta", "1", "a number of at least 1e-100 and below 1"),
        ("group", "", "a text that is not empty"),
        ("group_instance_id", "pod 0", "a text of 1 to 200 letters, digits, dots, underscores and hyphens"),
        ("compression", "brotli", "one of the known values; known: gzip, lz4, snappy, zstd, none"),
    ],
)
def test_the_message_about_a_bad_setting_says_in_words_what_is_expected(
    tmp_path: Path, name: str, value: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"THALWEG_HOME": str(tmp_path), f"THALWEG_{name.upper()}": value})
    assert str(refused.value) == f"setting {name} (THALWEG_{name.upper()}) = {value!r}: give {expected}"


def test_a_setting_of_another_type_in_the_file_is_explained_in_words(tmp_path: Path) -> None:
    file = tmp_path / "thalweg.toml"
    file.write_text("keyspace = 7\n")
    with pytest.raises(SettingsError, match=r"keyspace .THALWEG_KEYSPACE. = 7: give a text that is not empty$"):
        load_settings({"THALWEG_CONFIG": str(file), "THALWEG_HOME": str(tmp_path)})
    file.write_text("broker_ca = [1]\n")
    with pytest.raises(SettingsError, match=r"broker_ca .THALWEG_BROKER_CA. = \[1\]: give a text$"):
        load_settings({"THALWEG_CONFIG": str(file), "THALWEG_HOME": str(tmp_path)})


KUBERNETES = {
    "SERVICE_HOST": "10.96.0.7",
    "SERVICE_PORT": "9090",
    "SERVICE_PORT_METRICS": "9090",
    "PORT": "tcp://10.96.0.7:9090",
    "PORT_9090_TCP": "tcp://10.96.0.7:9090",
    "PORT_9090_TCP_PROTO": "tcp",
    "PORT_9090_TCP_PORT": "9090",
    "PORT_9090_TCP_ADDR": "10.96.0.7",
    "PORT_53_UDP_ADDR": "10.96.0.7",
}


@pytest.mark.parametrize("service", ["THALWEG_", "THALWEG_X_", "THALWEG_WORKER_METRICS_", "THALWEG_HTTP_"])
def test_the_variables_that_kubernetes_sets_for_a_service_are_no_settings(tmp_path: Path, service: str) -> None:
    links = {f"{service}{name}": value for name, value in KUBERNETES.items()}
    loaded = load_settings({"THALWEG_HOME": str(tmp_path), "THALWEG_KEYSPACE": "shop", **links})
    assert loaded == Settings(keyspace="shop")


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("THALWEG_BROKR", "kafka:9092", "is broker .THALWEG_BROKER. meant"),
        ("THALWEG_HTP_PORT", "9090", "is http_port .THALWEG_HTTP_PORT. meant"),
        ("THALWEG_BROKER_PASSWORD_FIL", "/x", "is broker_password_file .THALWEG_BROKER_PASSWORD_FILE. meant"),
        ("THALWEG_CONFG", "/x", "is config .THALWEG_CONFIG. meant"),
        ("THALWEG_X_SERVICE_HOSTS", "10.96.0.7", "there is no setting 'x_service_hosts'"),
        ("THALWEG_HTTP_PORT", "tcp://10.96.0.7:9090", "http_port .*'tcp://10.96.0.7:9090'"),
    ],
)
def test_a_typing_error_stays_an_error_that_names_the_closest_setting(
    tmp_path: Path, name: str, value: str, meant: str
) -> None:
    with pytest.raises(SettingsError, match=meant):
        load_settings({"THALWEG_HOME": str(tmp_path), name: value})


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "thalweg.toml"
    file.write_text('keyspce = "a"\n')
    with pytest.raises(SettingsError, match=r"'keyspce'; is keyspace .THALWEG_KEYSPACE. meant"):
        load_settings({"THALWEG_CONFIG": str(file), "THALWEG_HOME": str(tmp_path)})


def test_a_secret_from_the_environment_or_a_file_is_masked_in_every_output(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    config = tmp_path / "thalweg.toml"
    config.write_text(f'broker_user = "anna"\nbroker_password_file = "{file}"\n')
    environment = {"THALWEG_HOME": str(tmp_path), "THALWEG_CONFIG": str(config), "THALWEG_CASSANDRA_USER": "anna"}
    for given in ({"THALWEG_CASSANDRA_PASSWORD": SECRET}, {"THALWEG_CASSANDRA_PASSWORD_FILE": str(file)}):
        loaded = load_settings(environment | given)
        assert loaded.broker_password == loaded.cassandra_password == SECRET
        shown = repr(loaded) + str(loaded) + repr(aiokafka_arguments(loaded)) + repr(list(loaded.__rich_repr__()))
        assert SECRET not in shown
        assert "'***'" in shown
    assert SECRET not in repr(Settings(broker_user="anna", broker_password=SECRET))


@pytest.mark.parametrize(
    "given",
    [
        {"THALWEG_BROKER_PASSWORD": SECRET},  # without a user
        {"THALWEG_BROKER_PASSWORD": SECRET, "THALWEG_BROKER_PASSWORD_FILE": "/tmp/password"},
        {"THALWEG_BROKER_PASSWORDS": SECRET},
        {"THALWEG_CASSANDRA_PASSWORD": SECRET, "THALWEG_CASSANDRA_USER": "anna", "THALWEG_CASSANDRA": "db"},
    ],
)
def test_an_error_does_not_show_the_secret(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"broker_password|THALWEG_BROKER_PASSWORD|cassandra") as refused:
        load_settings({"THALWEG_HOME": str(tmp_path), **given})
    assert SECRET not in str(refused.value)


def test_a_secret_that_is_not_a_text_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "thalweg.toml"
    file.write_text('broker_user = "anna"\nbroker_password = 8051\n')
    with pytest.raises(SettingsError, match="THALWEG_BROKER_PASSWORD") as refused:
        load_settings({"THALWEG_CONFIG": str(file), "THALWEG_HOME": str(tmp_path)})
    assert "8051" not in str(refused.value)


def test_every_bundle_has_its_own_consumer_group() -> None:
    assert Settings(group="shop").consumer_group_id("b1") == "shop-b1"


def test_the_argument_names_the_bundle_before_the_setting() -> None:
    settings = Settings(bundle="served")
    assert settings.bundle_folder("named") == "named"
    assert settings.bundle_folder(None) == "served"
    with pytest.raises(SettingsError, match="--bundle or THALWEG_BUNDLE"):
        Settings().bundle_folder(None)


def test_the_first_bundle_has_the_updates_topic_of_the_setting_and_a_later_one_has_its_own() -> None:
    settings = Settings(updates_topic="shop.updates")
    assert settings.bundle_updates_topic("gru-0f3a5c7e9b1d", is_first=True) == "shop.updates"
    assert settings.bundle_updates_topic("gru-0f3a5c7e9b1d", is_first=False) == "shop.updates.gru-0f3a5c7e9b1d"

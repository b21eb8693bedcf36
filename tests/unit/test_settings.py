from pathlib import Path

import pytest

from streams.errors import SettingsError
from streams.settings import load_settings


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "thalweg.toml"
    file.write_text('keyspace = "a"\npartitions = 8\n')
    loaded = load_settings({"THALWEG_CONFIG": str(file), "THALWEG_KEYSPACE": "b", "THALWEG_HOME": str(tmp_path)})
    assert (loaded.keyspace, loaded.partitions) == ("b", 8)


def test_addresses_of_local_services_are_taken_where_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "local.json").write_text('{"bootstrap": "127.0.0.1:1", "cassandra": "127.0.0.1:2"}')
    loaded = load_settings({"THALWEG_HOME": str(tmp_path), "THALWEG_BROKER": "kafka:9"})
    assert (loaded.broker, loaded.cassandra) == ("kafka:9", "127.0.0.1:2")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"THALWEG_PARTITIONS": "many"}, "THALWEG_PARTITIONS.*'many'"),
        ({"THALWEG_PARTITIONS": "0"}, "THALWEG_PARTITIONS.*'0'"),
        ({"THALWEG_BROKERS": "kafka:9092"}, "THALWEG_BROKERS.*broker"),
        ({"THALWEG_HTTP_PORT": "70000"}, "THALWEG_HTTP_PORT.*'70000'"),
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

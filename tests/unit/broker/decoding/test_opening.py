"""Whether the packages of the extra are there, and which decoder the settings name."""

import sys

import pytest

from streams.broker.decoding.opening import open_schemas
from streams.broker.decoding.record_decoder import open_decoder
from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.config.settings import Settings
from streams.engine.codec import ContractDecoder


@pytest.mark.parametrize(
    ("module", "package"), [("fastavro", "fastavro"), ("google.protobuf", "protobuf"), ("grpc_tools", "grpcio-tools")]
)
def test_a_missing_package_is_named_with_its_extra(module: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=rf"the package {package} is missing: install thalweg\[registry\]"):
        open_schemas(Settings(schema_registry="http://localhost:8081"))


def test_without_a_registry_the_contract_decodes() -> None:
    assert open_schemas(Settings()) is None
    assert isinstance(open_decoder(Settings()), ContractDecoder)


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("localhost:8081", "is not an address such as http://localhost:8081"),
        ("ftp://localhost", "is not an address such as"),
        ("http://[::1:8081", "is not an address such as"),
        ("http://user:Zx81@localhost:8081", "set THALWEG_SCHEMA_REGISTRY_USER and THALWEG_SCHEMA_REGISTRY_PASSWORD"),
    ],
)
def test_a_wrong_address_has_its_remedy(address: str, remedy: str) -> None:
    with pytest.raises(SettingsError, match=remedy) as refused:
        load_settings({"THALWEG_SCHEMA_REGISTRY": address})
    assert "Zx81" not in str(refused.value)


def test_a_user_needs_a_password() -> None:
    with pytest.raises(SettingsError, match="set THALWEG_SCHEMA_REGISTRY_PASSWORD"):
        load_settings({"THALWEG_SCHEMA_REGISTRY": "http://localhost:8081", "THALWEG_SCHEMA_REGISTRY_USER": "thalweg"})

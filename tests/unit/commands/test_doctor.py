"""What `thalweg doctor` says without services."""

import importlib.metadata
import socket
from pathlib import Path

import aiokafka.codec
import pytest

from encoder.errors import BundleError
from streams.commands import doctor
from streams.config.settings import Settings
from tests.support.bundles import tiny_bundle


def test_columns_are_read_from_the_create_statements() -> None:
    tables = doctor.expected_columns("shop", replication=1, width=64)
    of_bundles = {"item_vectors_64", "item_vectors_stored", "bundles", "active_bundle"}
    assert set(tables) == {"representations_64", "sources"} | of_bundles
    assert tables["item_vectors_stored"] == {"bundle_id": "text", "items": "int"}
    assert tables["item_vectors_64"] == {"bundle_id": "text", "item_id": "text", "vector": "vector<float, 64>"}
    assert tables["representations_64"]["state"] == "blob"
    assert tables["representations_64"]["steps"] == "bigint"


def test_installed_packages_and_codecs_are_right_here() -> None:
    findings = [*doctor._packages(), *(finding for codec in doctor.CODECS for finding in doctor._codec(codec))]
    assert [finding for finding in findings if finding.state != "ok"] == []
    assert len(findings) == 1 + len(doctor.CODECS)


def test_a_package_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = importlib.metadata.version

    def version(name: str) -> str:
        if name == "cramjam":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "aiokafka" else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    failed = [finding.detail for finding in doctor._packages() if finding.state == "failed"]
    assert len(failed) == 2
    assert failed[0].startswith("aiokafka 0.1 is not the tested ")
    assert failed[1] == "cramjam is not installed"


def test_a_codec_that_is_missing_or_wrong_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka.codec, "cramjam", None)
    (missing,) = doctor._codec("lz4")
    monkeypatch.setattr(aiokafka.codec, "gzip_decode", lambda payload: payload)
    (wrong,) = doctor._codec("gzip")
    assert (missing.state, wrong.state) == ("failed", "failed")
    assert "uv sync" in missing.remedy
    assert wrong.detail == "decodes to other bytes"


def test_the_port_of_the_http_endpoints() -> None:
    assert doctor._http(Settings()).state == "ok"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = doctor._http(Settings(http_port=port))
    assert (found.state, found.detail) == ("note", f"port {port} on 127.0.0.1 is taken")
    assert "THALWEG_HTTP_PORT" in found.remedy
    assert doctor._http(Settings(http_port=port)).state == "ok"


def test_an_address_of_another_machine_is_a_failure_with_a_remedy() -> None:
    found = doctor._http(Settings(http_host="192.0.2.1"))  # reserved for documentation
    assert (found.state, "THALWEG_HTTP_HOST" in found.remedy) == ("failed", True)


@pytest.mark.parametrize("name", ["my-shop", "", "1shop", "s" * 49])
def test_a_keyspace_that_cassandra_does_not_take_is_named(name: str) -> None:
    found = doctor._keyspace(Settings(keyspace=name))
    assert (found.state, found.remedy) == ("failed", "set THALWEG_KEYSPACE")
    assert repr(name) in found.detail
    assert doctor._keyspace(Settings(keyspace="shop_2")).state == "ok"


@pytest.mark.parametrize(
    ("failure", "has_graphs", "state", "said"),
    [
        ("", True, "ok", "steps on the CPU"),
        ("CUDA could not start", True, "note", "steps on the CPU, though there is a GPU"),
        (None, True, "ok", "steps on the GPU"),
        (None, False, "note", "steps on the CPU, though there is a GPU"),
    ],
)
def test_it_says_where_steps_are_and_why(
    failure: str | None, has_graphs: bool, state: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "cuda_failure", lambda: failure)
    (finding,) = doctor._runtime(tiny_bundle(tmp_path / "bundle", items=20, for_gpu=has_graphs))
    assert (finding.state, finding.detail.partition(": ")[2]) == (state, said)
    assert bool(finding.remedy) == (state == "note")


def test_graphs_that_cannot_be_loaded_are_found(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", items=20)
    (bundle.path / "step.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match="cannot load the graphs"):
        list(doctor._runtime(bundle))

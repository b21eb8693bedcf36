"""The checks of `thalweg doctor` that need no services."""

import importlib.metadata
import socket
from pathlib import Path

import aiokafka.codec
import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from encoder.errors import BundleError
from streams.commands.doctor import bundle_checks
from streams.commands.doctor.bundle_checks import check_runtime
from streams.commands.doctor.cassandra_checks import check_keyspace_name, expected_columns
from streams.commands.doctor.event_checks import sample_finding
from streams.commands.doctor.installation_checks import CODECS, check_codec, check_codecs, check_packages
from streams.commands.doctor.machine_checks import check_http_port
from streams.config.settings import Settings
from streams.engine.codec import decode
from tests.support.bundles import tiny_bundle


def test_columns_are_read_from_the_create_statements(tmp_path: Path) -> None:
    manifest = tiny_bundle(tmp_path / "bundle").manifest
    tables = expected_columns("shop", msgspec.structs.replace(manifest, representation_width=64))
    bundle_tables = {"item_vectors_64", "item_vectors_stored", "bundles", "active_bundle", "promotions"}
    topic_tables = {"sources", "behavior_topic", "pending_erasures", "stored_positions", "mappings"}
    assert set(tables) == {"representations_64", "migrations"} | topic_tables | bundle_tables
    assert tables["item_vectors_stored"] == {"bundle_id": "text", "items": "int"}
    assert tables["item_vectors_64"] == {"bundle_id": "text", "item_id": "text", "vector": "vector<float, 64>"}
    assert tables["representations_64"]["state"] == "blob"
    assert tables["representations_64"]["steps"] == "bigint"
    assert tables["representations_64"]["recent_items"] == "vector<int, 10>"
    assert tables["representations_64"]["recent_scores"] == "vector<float, 10>"
    assert tables["representations_64"]["bought_items"] == "vector<int, 10>"
    for changed, missing in (("recent_places", {"recent_items", "recent_scores"}), ("bought_places", {"bought_items"})):
        without = expected_columns("shop", msgspec.structs.replace(manifest, representation_width=64, **{changed: 0}))
        assert set(tables["representations_64"]) - set(without["representations_64"]) == missing


def test_the_packages_and_codecs_of_this_environment_pass() -> None:
    findings = [*check_packages(), *check_codecs()]
    assert [finding for finding in findings if finding.state != "ok"] == []
    assert len(findings) == 1 + len(CODECS)


def test_a_package_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = importlib.metadata.version

    def version(name: str) -> str:
        if name == "cramjam":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "aiokafka" else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    failed = [finding.detail for finding in check_packages() if finding.state == "failed"]
    assert len(failed) == 2
    assert failed[0].startswith("aiokafka 0.1 is not the tested ")
    assert failed[1] == "cramjam is not installed"


def test_a_missing_codec_and_a_wrong_codec_have_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka.codec, "cramjam", None)
    missing = check_codec("lz4")
    monkeypatch.setattr(aiokafka.codec, "gzip_decode", lambda payload: payload)
    wrong = check_codec("gzip")
    assert (missing.state, wrong.state) == ("failed", "failed")
    assert "uv sync" in missing.remedy
    assert wrong.detail == "decodes to other bytes"


def test_a_port_that_another_program_has_taken_is_a_failure() -> None:
    assert check_http_port(Settings()).state == "ok"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = check_http_port(Settings(http_port=port))
    assert (found.state, f"port {port} on 127.0.0.1" in found.detail) == ("failed", True)
    assert "THALWEG_HTTP_PORT" in found.remedy
    assert check_http_port(Settings(http_port=port)).state == "ok"


def test_a_port_of_a_running_worker_is_a_note() -> None:
    registry = CollectorRegistry()
    Counter("thalweg_records", "Records.", registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    found = check_http_port(Settings(http_port=server.server_port))
    server.shutdown()
    server.server_close()
    thread.join()
    assert (found.state, "taken by a worker or a monitor" in found.detail) == ("note", True)


@pytest.mark.parametrize("host", ["192.0.2.1", "metrics.invalid", "x" * 70])  # reserved names, and no name at all
def test_an_address_of_another_machine_is_a_failure_with_a_remedy(host: str) -> None:
    found = check_http_port(Settings(http_host=host))
    assert (found.state, "THALWEG_HTTP_HOST" in found.remedy) == ("failed", True)


def test_records_that_break_the_contract_are_counted_and_the_last_reason_is_shown() -> None:
    good = decode(b"u", b'{"event_id":"1","user_id":"u","item_id":"i","action":"view","event_time_ms":1}', 1)
    bad = decode(b"u", b"<event/>", 1)
    assert sample_finding("events", [good, good]).state == "ok"
    some, every = sample_finding("events", [bad, good]), sample_finding("events", [bad, bad])
    assert (some.state, every.state) == ("note", "failed")
    assert every.detail.startswith("2 of the last 2 records of events break the contract: value is not JSON")


@pytest.mark.parametrize("name", ["my-shop", "", "1shop", "s" * 49])
def test_a_keyspace_name_that_cassandra_refuses_is_shown(name: str) -> None:
    found = check_keyspace_name(Settings(keyspace=name))
    assert (found.state, found.remedy) == ("failed", "set THALWEG_KEYSPACE")
    assert repr(name) in found.detail
    assert check_keyspace_name(Settings(keyspace="shop_2")).state == "ok"


@pytest.mark.parametrize(
    ("failure", "has_graphs", "state", "detail"),
    [
        ("", True, "ok", "steps on the CPU"),
        ("CUDA could not start", True, "note", "steps on the CPU, though there is a GPU"),
        (None, True, "ok", "steps on the GPU"),
        (None, False, "note", "steps on the CPU, though there is a GPU"),
    ],
)
def test_the_runtime_check_says_where_a_worker_steps_and_why(
    failure: str | None, has_graphs: bool, state: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_checks, "cuda_failure", lambda: failure)
    (finding,) = check_runtime(tiny_bundle(tmp_path / "bundle", items=20, for_gpu=has_graphs))
    assert (finding.state, finding.detail.partition(": ")[2]) == (state, detail)
    assert bool(finding.remedy) == (state == "note")


def test_graphs_that_cannot_be_loaded_are_found(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", items=20)
    (bundle.path / "step.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match="cannot load"):
        list(check_runtime(bundle))

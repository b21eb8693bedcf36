"""Bundles in a model registry of MLflow: here a store in files."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from encoder.errors import BundleError, InputError
from export.exporter import export_model
from export.mlflow_registry import ID_TAG, check_mlflow, fetch_bundle, register
from export.runtime.bundle import Bundle
from tests.support.bundles import tiny_model, vocabulary_of

mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    vocabulary = vocabulary_of([f"item-{i}" for i in range(1, 41)])
    training = {"data": {"sha256": "ab" * 32}, "settings": {"seed": 3, "content": ["price"]}}
    folder, metrics = tmp_path_factory.mktemp("bundle") / "b", {"recall@20": 0.25, "n": 8, "split": "last"}
    return export_model(tiny_model(40), vocabulary, folder, metrics=metrics, training=training)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an empty store in files."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_bundle_comes_back_byte_for_byte(store: Any, bundle: Bundle, tmp_path: Path) -> None:
    assert register(bundle, "models:/shop") == ("shop", "1", True)
    back = fetch_bundle("models:/shop/1", tmp_path / "back", overwrite=False)
    assert back.bundle_id == bundle.bundle_id
    assert contents(back.path) == contents(bundle.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "store"]


def test_a_run_has_parameters_metrics_and_tags(store: Any, bundle: Bundle, tmp_path: Path) -> None:
    register(bundle, "models:/shop")
    version = store.get_model_version("shop", "1")
    run = store.get_run(version.run_id)
    assert version.tags[ID_TAG] == run.data.tags[ID_TAG] == run.info.run_name == bundle.bundle_id
    assert run.data.params == {"seed": "3", "content": "['price']"}
    assert run.data.metrics["recall_at_20"] == 0.25
    assert run.data.metrics["parity_rank_errors"] == 0
    assert run.info.status == "FINISHED"
    fetched = fetch_bundle(f"runs:/{version.run_id}/bundle", tmp_path / "of_run", overwrite=False)
    assert fetched.bundle_id == bundle.bundle_id


def test_a_second_registration_adds_nothing_and_no_alias_moves(store: Any, bundle: Bundle, tmp_path: Path) -> None:
    register(bundle, "models:/shop")
    store.set_registered_model_alias("shop", "champion", "1")
    assert register(bundle, "models:/shop") == ("shop", "1", False)
    other = export_model(tiny_model(40, seed=2), bundle.vocabulary, tmp_path / "other")
    assert register(other, "models:/shop") == ("shop", "2", True)
    assert store.get_registered_model("shop").aliases == {"champion": "1"}
    champion = fetch_bundle("models:/shop@champion", tmp_path / "back", overwrite=False)
    assert champion.bundle_id == bundle.bundle_id
    with pytest.raises(InputError, match="holds another bundle"):
        fetch_bundle("models:/shop/2", tmp_path / "back", overwrite=False)
    assert fetch_bundle("models:/shop/2", tmp_path / "back", overwrite=True).bundle_id == other.bundle_id


def test_a_changed_artifact_is_refused(store: Any, bundle: Bundle, tmp_path: Path) -> None:
    register(bundle, "models:/shop")
    (stored,) = (tmp_path / "store").rglob("step.onnx")
    stored.write_bytes(stored.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"step\.onnx does not match"):
        fetch_bundle("models:/shop/1", tmp_path / "back", overwrite=False)
    store.set_model_version_tag("shop", "1", ID_TAG, "gru-000000000000")
    stored.write_bytes((bundle.path / "step.onnx").read_bytes())
    with pytest.raises(BundleError, match="was registered as gru-000000000000"):
        fetch_bundle("models:/shop/1", tmp_path / "back", overwrite=False)
    assert not (tmp_path / "back").exists()


def test_what_the_registry_does_not_have_is_named(store: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"MLflow at file:.* refuses: .*shop"):
        fetch_bundle("models:/shop/7", tmp_path / "back", overwrite=False)


@pytest.mark.parametrize("uri", ["shop", "models:/shop/", "models:/shop/1/2", "http://127.0.0.1:5000"])
def test_addresses_are_checked_before_an_export(uri: str) -> None:
    for is_source in (True, False):
        with pytest.raises(InputError, match=r"is no address of MLflow: write models:/NAME"):
            check_mlflow(uri, "--to-mlflow", is_source=is_source)


def test_a_server_that_does_not_answer_is_named_soon(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(address)
    try:
        with pytest.raises(InputError, match=f"MLflow at {address} refuses"):
            register(bundle, "models:/shop")
    finally:
        mlflow.set_tracking_uri(before)

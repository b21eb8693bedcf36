"""Each graph of a bundle says which bundle it belongs to, and stays a part of the hash that names the bundle."""

import hashlib
import json
from pathlib import Path

import msgspec
import onnx
import onnxruntime
import pytest

from encoder.errors import BundleError
from export.exporter import export_model
from export.graphs.builder import OPSET
from export.runtime.bundle import FILES, GPU_FILES, MANIFEST, Bundle, bundle_id
from tests.support.bundles import tiny_model, vocabulary_of

GRAPHS = [name for name in FILES + GPU_FILES if name.endswith(".onnx")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    vocabulary = vocabulary_of([f"item-{i}" for i in range(1, 41)])
    folder = tmp_path_factory.mktemp("bundle") / "b"
    training = {"data": {"sha256": "ab" * 32, "note": "ü" * 200}}
    return export_model(tiny_model(40), vocabulary, folder, training=training, for_gpu=True)


@pytest.mark.parametrize("name", GRAPHS)
def test_onnx_and_onnx_runtime_read_the_properties(bundle: Bundle, name: str) -> None:
    graph = onnx.load(bundle.path / name)
    onnx.checker.check_model(graph, full_check=True)
    properties = {entry.key: entry.value for entry in graph.metadata_props}
    assert properties["thalweg.bundle_id"] == bundle.bundle_id
    assert properties["thalweg.opset"] == str(OPSET) == str(graph.opset_import[0].version)
    assert json.loads(properties["thalweg.parity"]) == bundle.manifest.parity
    assert properties["thalweg.source"].endswith("ab" * 32)
    session = onnxruntime.InferenceSession(bundle.path / name, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == properties


@pytest.mark.parametrize("name", GRAPHS)
def test_the_manifest_has_the_hash_of_the_content_alone(bundle: Bundle, name: str) -> None:
    graph = onnx.load(bundle.path / name)
    graph.ClearField("metadata_props")
    content = graph.SerializeToString(deterministic=True)
    assert hashlib.sha256(content).hexdigest() == bundle.manifest.files[name]
    assert bundle.bundle_id == bundle_id(bundle.manifest)


@pytest.mark.parametrize("change", ["other id", "cut off", "more", "content"])
def test_changed_properties_are_refused(bundle: Bundle, tmp_path: Path, change: str) -> None:
    for file in bundle.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path, whole = tmp_path / "step.onnx", (tmp_path / "step.onnx").read_bytes()
    other_id = bundle.bundle_id[:-1] + ("0" if bundle.bundle_id[-1] != "0" else "1")
    changed = {
        "other id": whole.replace(bundle.bundle_id.encode(), other_id.encode()),
        "cut off": whole[:-1],
        "more": whole + b"\0",
        "content": b"x" + whole[1:],
    }[change]
    assert changed != whole
    path.write_bytes(changed)
    with pytest.raises(BundleError, match=r"step\.onnx does not match"):
        Bundle.load(tmp_path)


def test_a_bundle_without_properties_still_loads(bundle: Bundle, tmp_path: Path) -> None:
    for file in bundle.path.iterdir():
        content = file.read_bytes()
        if file.suffix == ".onnx":
            graph = onnx.load_from_string(content)
            graph.ClearField("metadata_props")
            content = graph.SerializeToString(deterministic=True)
        (tmp_path / file.name).write_bytes(content)
    manifest = msgspec.structs.replace(bundle.manifest, graph_properties={})
    manifest = msgspec.structs.replace(manifest, bundle_id=bundle_id(manifest))
    (tmp_path / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    assert Bundle.load(tmp_path).bundle_id == manifest.bundle_id

"""The check of where the nodes of a graph ran."""

from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

from encoder.errors import BundleError
from export.runtime.placement import check_placement
from export.runtime.providers import CPU, CUDA
from tests.support.bundles import tiny_bundle


def test_nodes_on_another_provider_are_named(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", items=20, for_gpu=True)
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = ort.InferenceSession(bundle.path / "gpu_read.onnx", options, providers=[CPU])
    width = bundle.manifest.state_width + bundle.manifest.representation_width
    session.run(None, {"memory": np.zeros((2, width), np.float32), "slot": np.array([1])})
    profile = Path(session.end_profiling())
    assert check_placement(profile, CPU) == 1
    with pytest.raises(BundleError, match=r"1 of 1 nodes do not stay on CUDAExecutionProvider: Gather rows\S* on CPU"):
        check_placement(profile, CUDA)


def test_a_copy_between_host_and_device_is_named(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    nodes = [("rows_kernel_time", "Gather"), ("Memcpy_kernel_time", "MemcpyToHost")]
    events = [{"cat": "Node", "name": name, "args": {"op_name": op, "provider": CUDA}} for name, op in nodes]
    profile.write_bytes(msgspec.json.encode(events))
    with pytest.raises(BundleError, match=r"1 of 2 nodes do not stay on .*: MemcpyToHost Memcpy"):
        check_placement(profile, CUDA)


def test_a_profile_without_nodes_is_refused(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_bytes(b"[]")
    with pytest.raises(BundleError, match="has no node"):
        check_placement(profile, CUDA)

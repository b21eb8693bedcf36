"""Whether CUDA works, and sessions on one provider."""

import re
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from encoder.errors import BundleError
from export.runtime import providers
from export.runtime.providers import CPU, CUDA, cuda_failure, open_session, session_options


class ExistingPath(type(Path())):
    """A path that always exists, so that a GPU's driver seems to be there."""

    def exists(self, **_: Any) -> bool:
        return True


@pytest.mark.skipif(cuda_failure() != "", reason="this machine has a GPU")
@pytest.mark.skipif(CUDA not in ort.get_available_providers(), reason="this ONNX Runtime is for the CPU alone")
def test_the_reason_why_cuda_cannot_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "Path", ExistingPath)
    failure = cuda_failure.__wrapped__()
    assert failure is not None
    assert re.match(r"CUDA could not start \(lib\w+\.so\.\d+: cannot open shared object file", failure)
    assert "\n" not in failure
    monkeypatch.setattr(providers, "_library_failure", lambda: "libcurand.so.10: cannot open shared object file")
    assert cuda_failure.__wrapped__().endswith("install its libraries, with `make .venv/gpu` or as thalweg[gpu]")
    monkeypatch.setattr(providers, "_library_failure", lambda: None)
    assert "see whether `nvidia-smi` finds the GPU" in cuda_failure.__wrapped__()


def test_a_file_that_is_not_a_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "step.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"ONNX Runtime cannot load .*step\.onnx on CPUExecutionProvider"):
        open_session(tmp_path / "step.onnx", CPU, session_options())

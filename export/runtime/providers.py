"""The providers of ONNX Runtime: whether CUDA works here, and sessions that run on one provider."""

import ctypes
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import numpy as np
import onnxruntime as ort

from encoder.errors import BundleError

# This limits messages outside of sessions to errors. At each scatter, ONNX Runtime warns about duplicate indices,
# whether there are any or not.
ERRORS_ONLY = 3
ort.set_default_logger_severity(ERRORS_ONLY)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# TF32 rounds the factors of products: states and ranks would differ from the CPU's. See docs/decisions.md#no-tf32
CUDA_OPTIONS = {"use_tf32": "0"}
CUDA_LIBRARIES = ("libcublas", "libcudart", "libcurand")  # ONNX Runtime's CUDA provider cannot be loaded without them


@cache
def cuda_failure() -> str | None:
    """Why CUDA cannot be used here, in one line: None where CUDA works, empty where the machine has no such device.

    The first call has to be made before threads are started: meanwhile the output of all threads is redirected.
    """
    # The package for GPUs offers its provider on every machine, and a session on it logs a failure where there is no
    # driver. So this looks for a driver first.
    has_device = any(Path(trace).exists() for trace in ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/dxg"))
    if not has_device or CUDA not in ort.get_available_providers():
        return ""
    with redirect_stdout(StringIO()):  # prints the libraries that are not in Python's packages, but may be elsewhere
        ort.preload_dlls(cudnn=False)  # no graph has a convolution
    try:
        ort.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda")
        return None
    except Exception as error:  # ONNX Runtime's errors have no common base class
        reason = _library_failure() or " ".join(str(error).split())
    if any(library in reason for library in CUDA_LIBRARIES):
        return f"CUDA could not start ({reason}): install its libraries, with `make .venv/gpu` or as thalweg[gpu]"
    return f"CUDA could not start ({reason}): see whether `nvidia-smi` finds the GPU, and has a driver for CUDA 13"


def _library_failure() -> str | None:
    """Why the library of ONNX Runtime's CUDA provider cannot be loaded; None where it can be loaded."""
    folder = Path(ort.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libonnxruntime_providers_cuda.so"))
    except OSError as error:
        return str(error)
    return None


def ort_version() -> str:
    """The version of ONNX Runtime."""
    return str(ort.__version__)


def session_options(threads: int = 1) -> ort.SessionOptions:
    """Options of a session that runs each operator on so many threads, and logs errors alone."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    return options


def open_session(
    graph: Path, provider: str, options: ort.SessionOptions, provider_options: dict[str, str] | None = None
) -> ort.InferenceSession:
    """A session that runs the graph in this file on the provider. Raises BundleError where it cannot be opened."""
    try:
        session = ort.InferenceSession(graph, options, providers=[(provider, provider_options or {})])
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise BundleError(f"ONNX Runtime cannot load {graph} on {provider}: {error}") from error
    if session.get_providers()[0] != provider:
        raise BundleError(f"ONNX Runtime could not start {provider} for {graph}")
    return session

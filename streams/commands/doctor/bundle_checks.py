"""Checks of the bundle and of ONNX Runtime."""

from collections.abc import Iterator

from export.runtime.bundle import Bundle
from export.runtime.providers import cuda_failure, ort_version
from export.runtime.stepper import Stepper
from streams.commands.doctor.finding import Finding


def bundle_finding(bundle: Bundle) -> Finding:
    """What a loaded bundle contains."""
    manifest = bundle.manifest
    detail = (
        f"{bundle.bundle_id} in {bundle.path}: {manifest.items} items, {manifest.actions} actions, "
        f"state {manifest.state_width}, representation {manifest.representation_width}"
    )
    return Finding("ok", "bundle", detail)


def check_runtime(bundle: Bundle | None) -> Iterator[Finding]:
    """Check where a worker steps the model. Raises BundleError when ONNX Runtime cannot load the bundle's graphs."""
    runtime, failure = ort_version(), cuda_failure()
    if bundle is not None:
        Stepper(bundle)  # loads the graphs
    if failure:
        yield Finding("note", "onnxruntime", f"{runtime}: steps on the CPU, though there is a GPU", failure)
    elif failure is not None:
        yield Finding("ok", "onnxruntime", f"{runtime}: steps on the CPU")
    elif bundle is None or bundle.has_gpu_graphs:
        yield Finding("ok", "onnxruntime", f"{runtime}: steps on the GPU")
    else:
        remedy = "export the bundle with --gpu to use the GPU"
        yield Finding("note", "onnxruntime", f"{runtime}: steps on the CPU, though there is a GPU", remedy)

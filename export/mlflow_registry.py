"""Bundles in the model registry of an MLflow server.

The addresses are MLflow's own: models:/NAME for a model, models:/NAME/VERSION or models:/NAME@ALIAS for one of its
versions, and runs:/RUN/bundle for the artifact of a run. The server is that of MLFLOW_TRACKING_URI, as for every client
of MLflow. A registration leaves aliases alone: whether a bundle is the champion is a decision of its own.
"""

import importlib.util
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from encoder.commands.preconditions import check_writable
from encoder.errors import BundleError, InputError
from encoder.training.checkpoints.checkpoint_files import BUNDLE_SUBFOLDER, check_bundled_checkpoint
from export.bundle_folder import check_out, put_in_place
from export.runtime.bundle import Bundle, Manifest

ARTIFACT = "bundle"  # the folder among the artifacts of a run
ID_TAG = "thalweg.bundle_id"
MODEL = re.compile(r"models:/(?P<name>[^/@]+)")
VERSION = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")
RUN = re.compile(r"runs:/(?P<run>[^/]+)/.+")


class Registration(NamedTuple):
    """A version of a model in the registry."""

    name: str
    version: str
    is_new: bool


def check_mlflow(uri: str, option: str, *, is_source: bool = False) -> None:
    """Raise InputError where MLflow is missing or where the address is none. It runs before a long export."""
    fits = (VERSION.fullmatch(uri) or RUN.fullmatch(uri)) if is_source else MODEL.fullmatch(uri)
    if not fits:
        forms = "models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/bundle" if is_source else "models:/NAME"
        raise InputError(f"{option} {uri} is no address of MLflow: write {forms}")
    if importlib.util.find_spec("mlflow") is None:
        raise InputError(f"{option} needs MLflow's client: install Thalweg with its `mlflow` extra")


def register(bundle: Bundle, uri: str) -> Registration:
    """Log the bundle as the artifact of a run, with parameters, metrics and tags, and register it as a version.

    uri: models:/NAME. A bundle that is a version of the model already is not registered again. Raises InputError where
    MLflow refuses.
    """
    name = uri.removeprefix("models:/")
    with _mlflow() as mlflow:
        client, manifest = mlflow.MlflowClient(), bundle.manifest
        if client.search_registered_models(f"name = '{name}'"):
            for version in client.search_model_versions(f"name = '{name}'"):
                if version.tags.get(ID_TAG) == bundle.bundle_id:
                    return Registration(name, str(version.version), is_new=False)
        else:
            client.create_registered_model(name)
        with mlflow.start_run(run_name=bundle.bundle_id) as run:
            mlflow.set_tags(tags := _tags(manifest))
            mlflow.log_params(manifest.training.get("settings", {}))
            mlflow.log_metrics(_metrics(manifest))
            mlflow.log_artifacts(str(bundle.path), ARTIFACT)
        source = f"{run.info.artifact_uri}/{ARTIFACT}"
        made = client.create_model_version(name, source, run_id=run.info.run_id, tags=tags)
        return Registration(name, str(made.version), is_new=True)


def fetch_bundle(uri: str, out: Path, *, overwrite: bool) -> Bundle:
    """Bring a registered bundle back into the folder `out`, completely or not at all, and load it from there.

    Raises InputError where MLflow has no such bundle or `out` is taken, and BundleError where the bundle was changed.
    """
    check_out(out)
    check_writable(out.parent, f"--out {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        with _mlflow() as mlflow:
            wanted = _registered_id(mlflow.MlflowClient(), uri)
            draft = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=temporary))
        bundle = Bundle.load(draft)  # compares every file with the manifest, and the manifest with the id
        if any(name.startswith(f"{BUNDLE_SUBFOLDER}/") for name in bundle.manifest.files):
            check_bundled_checkpoint(draft)
        if wanted not in (None, bundle.bundle_id):
            raise BundleError(f"{uri} was registered as {wanted} and holds {bundle.bundle_id}: register it again")
        put_in_place(draft, out, bundle.bundle_id, overwrite)
    return Bundle.load(out)


def _registered_id(client: Any, uri: str) -> str | None:
    """The bundle id that a registration has noted, or None where another program has registered."""
    if match := VERSION.fullmatch(uri):
        name, version, alias = match["name"], match["version"], match["alias"]
        found = client.get_model_version(name, version) if version else client.get_model_version_by_alias(name, alias)
        tags = found.tags
    else:
        match = RUN.fullmatch(uri)
        tags = {} if match is None else client.get_run(match["run"]).data.tags
    wanted: str | None = tags.get(ID_TAG)
    return wanted


def _tags(manifest: Manifest) -> dict[str, str]:
    data = manifest.training.get("data", {})
    tags = {
        ID_TAG: manifest.bundle_id,
        "thalweg.cell": manifest.cell,
        "thalweg.items": str(manifest.items),
        "thalweg.log_sha256": data.get("sha256"),
        "thalweg.aligned_to": manifest.aligned_to.get("bundle_id"),
    }
    return {name: value for name, value in tags.items() if value}


def _metrics(manifest: Manifest) -> dict[str, float]:
    """The figures of the validation part and of the parity check. A name in MLflow may not have the sign @."""
    figures = {**manifest.metrics, **{f"parity_{name}": value for name, value in manifest.parity.items()}}
    return {
        name.replace("@", "_at_"): float(value) for name, value in figures.items() if isinstance(value, int | float)
    }


@contextmanager
def _mlflow() -> Iterator[Any]:
    """The package, which takes seconds to load. What it raises becomes an InputError."""
    # By default, the client waits for minutes until it reports that no server answers.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        yield mlflow
    except (MlflowException, OSError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"MLflow at {mlflow.get_tracking_uri()} refuses: {why}; MLFLOW_TRACKING_URI names the server"
        ) from None

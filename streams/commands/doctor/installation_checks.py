"""Checks of the installation: Python, the installed packages, and the codecs that decompress record batches."""

import importlib.metadata
import platform
import re
from collections.abc import Iterator

import aiokafka.codec

from streams.commands.doctor.finding import Finding

CODECS = ("gzip", "snappy", "lz4", "zstd")
_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)\s*(==\s*(?P<pin>[^;,\s]+))?")


def python_finding() -> Finding:
    """The version of Python and the platform."""
    return Finding("ok", "python", f"{platform.python_version()} on {platform.platform()}")


def check_packages() -> Iterator[Finding]:
    """Compare the installed packages with the requirements in Thalweg's own metadata, extras left out."""
    found = [f"thalweg {importlib.metadata.version('thalweg')}"]
    for requirement in importlib.metadata.requires("thalweg") or []:
        match = _REQUIREMENT.match(requirement)
        if match is None or "extra ==" in requirement:
            continue
        name, pin = match["name"], match["pin"]
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if "sys_platform" not in requirement:  # the ONNX Runtime of another platform is not installed here
                yield Finding("failed", "packages", f"{name} is not installed", "install it with `uv sync`")
            continue
        if pin is not None and version != pin:
            remedy = "install the tested version with `uv sync`"
            yield Finding("failed", "packages", f"{name} {version} is not the tested {pin}", remedy)
        found.append(f"{name} {version}")
    yield Finding("ok", "packages", ", ".join(found))


def check_codecs() -> Iterator[Finding]:
    """Check every codec that a producer may have chosen."""
    for name in CODECS:
        yield check_codec(name)


def check_codec(name: str) -> Finding:
    """Compress and decompress a text with the same functions that the consumer calls."""
    subject, text = f"codec {name}", b"view cart purchase " * 50
    try:
        encoded = getattr(aiokafka.codec, f"{name}_encode")(text)
        is_correct = bytes(getattr(aiokafka.codec, f"{name}_decode")(encoded)) == text
    except Exception as error:  # a missing or broken native library can raise anything
        return Finding("failed", subject, f"{type(error).__name__}: {error}", "install cramjam with `uv sync`")
    if is_correct:
        return Finding("ok", subject, f"{len(text)} bytes as {len(encoded)}")
    return Finding("failed", subject, "decodes to other bytes", "install cramjam again with `uv sync --reinstall`")

"""Compiles the .proto texts of a registry to descriptors.

Confluent's registry can give a descriptor instead of a text (`format=serialized`), but Apicurio answers that request
with the text too: docs/decisions.md#protobuf-schemas-are-compiled-by-protoc
"""

import errno
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from streams.config.errors import RegistryError

LIMIT_S = 60.0
_NO_NAME = (errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR)


def compile_proto(file: str, texts: Mapping[str, str]) -> bytes:
    """A google.protobuf.FileDescriptorSet of a file and everything that the file imports.

    texts: the text of each file by the name under which other files import it. The files of Google's well-known types
    are there without a text. Raises ValueError with the words of the compiler, and
    RegistryError where the compiler does not end.
    """
    with tempfile.TemporaryDirectory() as folder:
        sources, descriptors = Path(folder) / "sources", Path(folder) / "descriptors"
        for name, text in texts.items():
            _write(sources / _inside(name), text)
        # A process of its own, because the compiler writes what it has to say to standard error.
        command = [sys.executable, "-P", "-m", "grpc_tools.protoc", f"--proto_path={sources}", "--include_imports"]
        try:
            done = subprocess.run(
                [*command, f"--descriptor_set_out={descriptors}", file],
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RegistryError(f"the Protobuf compiler did not end within {LIMIT_S:g} s") from None
        if done.returncode != 0:
            said = " ".join(done.stderr.replace(f"{sources}/", "").split())
            raise ValueError(f"the Protobuf schema cannot be compiled: {said}")
        return descriptors.read_bytes()


def _write(path: Path, text: str) -> None:
    """Raises ValueError for a name that no file can have beside the others. Another fault of the disk may pass."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        if error.errno not in _NO_NAME:
            raise
        raise ValueError(f"the Protobuf schema cannot be compiled: {path.name!r}: {error.strerror}") from None


def _inside(name: str) -> PurePosixPath:
    """The name of an import as a path below the folder. Raises ValueError for a name that leads out of the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"the Protobuf schema cannot be compiled: {name!r} is no name of a file")
    return path

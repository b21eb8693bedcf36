"""The files of an archive: in a local folder, or in a bucket of an object store that speaks S3.

Both know what an archive needs: a file appears whole or not at all, `create` has one winner, and `replace` fails where
another process has changed the file. On S3, conditional writes decide that
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html).
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from streams.archive.layout import EVENTS, LOCK
from streams.config.errors import ArchiveError, InputError, SettingsError

S3 = "s3://"
_REFUSALS = ("PreconditionFailed", "ConditionalRequestConflict")  # error codes of S3
_PART = ".part"  # of a local file that is not written to its end


class ArchiveFiles(Protocol):
    """All paths are relative to the archive, with `/` between their parts.

    Every method raises ArchiveError, also for a bucket that is missing.
    """

    @property
    def address(self) -> str: ...

    def open(self, path: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Open a file to read. Raises FileNotFoundError."""
        ...

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def write(self, path: str, data: bytes) -> None: ...

    def create(self, path: str, data: bytes) -> bool:
        """Write a file that is not there yet. Returns False, and writes nothing, where the file is there."""
        ...

    def replace(self, path: str, data: bytes, before: bytes) -> bool:
        """Write a file whose content is `before`. Returns False, and writes nothing, where the content is another."""
        ...

    def delete(self, path: str) -> None:
        """A file that is not there is no error."""
        ...

    def names(self, folder: str) -> list[str]:
        """The files below a folder at any depth, by their paths relative to the folder, sorted."""
        ...

    def new_revision(self) -> int:
        """The revision of files of events that no other process writes: 0 where the lock keeps other processes away."""
        ...

    def lock(self, of_removal: bool = False) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from changing the archive. Raises ArchiveError where another process does so.

        of_removal: files are replaced. A second process that only adds files needs no lock where `create` excludes it.
        """
        ...


def open_files(address: str) -> ArchiveFiles:
    """The files at an address: a folder, or `s3://BUCKET/PREFIX`.

    Raises SettingsError where s3fs is missing for a bucket, and InputError for an address of another kind.
    """
    if address.startswith(S3):
        return ObjectFiles(address)
    if "://" in address.removeprefix("file://"):
        raise InputError(f"archive {address} is neither a folder nor an address that begins with {S3}")
    return LocalFiles(address)


class LocalFiles:
    """The files of an archive in a local folder."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._root = Path(address.removeprefix("file://"))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ArchiveError(f"archive {self.address}: {error}") from error

    def open(self, path: str) -> BinaryIO:
        with self._errors():
            return (self._root / path).open("rb")

    def read(self, path: str) -> bytes:
        with self._errors():
            return (self._root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        with self._errors():
            part = self._write_part(path, data)
            part.replace(self._root / path)
            _sync(part.parent)

    def create(self, path: str, data: bytes) -> bool:
        with self._errors():
            part = self._write_part(path, data)
            try:
                os.link(part, self._root / path)
            except FileExistsError:
                return False
            finally:
                part.unlink()
            _sync(part.parent)
            return True

    def replace(self, path: str, data: bytes, before: bytes) -> bool:
        """The lock keeps another process from writing in between."""
        if self.read(path) != before:
            return False
        self.write(path, data)
        return True

    def delete(self, path: str) -> None:
        with self._errors():
            (self._root / path).unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        with self._errors():
            root = self._root / folder
            found = (path for path in root.rglob("*") if path.is_file() and path.suffix != _PART)
            return sorted(path.relative_to(root).as_posix() for path in found)

    def new_revision(self) -> int:
        return 0

    @contextlib.contextmanager
    def lock(self, of_removal: bool = False) -> Iterator[None]:
        """The lock ends with its process, also where the process is killed.

        A part of a file that a killed process has left may hold rows of a user who is erased later, so each part goes.
        """
        with self._errors():
            self._root.mkdir(parents=True, exist_ok=True)
            file = (self._root / LOCK).open("ab")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArchiveError(
                    f"another command changes archive {self.address} at the moment: wait until the command has ended"
                ) from None
            with self._errors():
                for part in (self._root / EVENTS).rglob(f"*{_PART}"):
                    part.unlink()
            yield

    def _write_part(self, path: str, data: bytes) -> Path:
        """Write the content beside the file. The content survives a loss of power before the file has its name."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + _PART)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return part


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ObjectFiles:
    """The files of an archive in a bucket. Login and endpoint come from the environment, as in AWS's own tools."""

    def __init__(self, address: str) -> None:
        """Raises SettingsError where s3fs is missing, and InputError for an address without a bucket."""
        if find_spec("s3fs") is None:
            raise SettingsError(f"archive {address} needs the package s3fs: install thalweg[s3]")
        import s3fs

        self.address = address
        self._root = address.removeprefix(S3).strip("/")
        if not self._root:
            raise InputError(f"archive {address} names no bucket: write {S3}BUCKET/PREFIX")
        self._store: Any = s3fs.S3FileSystem(use_listings_cache=False)

    @contextlib.contextmanager
    def _errors(self, reads: bool = False) -> Iterator[None]:
        """reads: the object may be missing, and its reader is told so. Otherwise the bucket is missing."""
        from botocore.exceptions import BotoCoreError

        try:
            yield
        except (OSError, BotoCoreError) as error:
            if reads and isinstance(error, FileNotFoundError):
                raise
            raise ArchiveError(f"archive {self.address}: {error}") from error

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        with self._errors(reads=True), self._store.open(self._path(path), "rb") as file:
            yield file

    def read(self, path: str) -> bytes:
        with self._errors(reads=True):
            return bytes(self._store.cat_file(self._path(path)))

    def write(self, path: str, data: bytes) -> None:
        with self._errors():
            self._store.pipe_file(self._path(path), data)

    def create(self, path: str, data: bytes) -> bool:
        with self._errors():
            return _is_written(lambda: self._store.pipe_file(self._path(path), data, mode="create"))

    def replace(self, path: str, data: bytes, before: bytes) -> bool:
        with self._errors(reads=True):
            tag = self._store.info(self._path(path))["ETag"]
            if self.read(path) != before:
                return False
            return _is_written(lambda: self._store.pipe_file(self._path(path), data, IfMatch=tag))

    def delete(self, path: str) -> None:
        with self._errors(), contextlib.suppress(FileNotFoundError):
            self._store.rm_file(self._path(path))

    def names(self, folder: str) -> list[str]:
        with self._errors():
            prefix = self._path(folder) + "/"
            return sorted(found.removeprefix(prefix) for found in self._store.find(prefix))

    def new_revision(self) -> int:
        """A random number. Two of a million numbers are equal with a probability of 1e-7."""
        return secrets.randbits(62)

    @contextlib.contextmanager
    def lock(self, of_removal: bool = False) -> Iterator[None]:
        """For a removal, an object that only one process can create. A process that is killed leaves this object."""
        if of_removal and not self.create(LOCK, b""):
            raise ArchiveError(
                f"archive {self.address} has the object {LOCK}: another removal changes the archive, or was killed; "
                f"where no removal runs, delete {S3}{self._path(LOCK)}, and start the removal again"
            )
        try:
            yield
        finally:
            if of_removal:
                self.delete(LOCK)


def _is_written(write: Any) -> bool:
    """False where the condition of a conditional write does not hold."""
    try:
        write()
    except OSError as error:
        answer = getattr(error.__cause__, "response", {})
        if answer.get("Error", {}).get("Code") in _REFUSALS:
            return False
        raise
    return True

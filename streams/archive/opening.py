"""Opens an archive. The module loads pyarrow only when it opens one, because pyarrow is an extra."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from streams.config.errors import SettingsError

if TYPE_CHECKING:
    from streams.archive.reader import ArchiveReader


def check_packages() -> None:
    """Raises SettingsError where a package is missing that every archive needs."""
    if find_spec("pyarrow") is None:
        raise SettingsError("an archive needs the package pyarrow: install thalweg[archive]")


def open_reader(address: str) -> "ArchiveReader":
    """The archive in a folder, or at an address `s3://BUCKET/PREFIX`.

    Raises what `ArchiveReader.open` raises, and SettingsError where a package is missing.
    """
    check_packages()
    from streams.archive.reader import ArchiveReader

    return ArchiveReader.open(address)

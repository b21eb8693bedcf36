"""The files of a log: a log may be given as files, folders and globs."""

import glob
from collections.abc import Sequence
from pathlib import Path

from encoder.data.loaders.formats import FORMATS, format_from_name
from encoder.data.loaders.tables.archive import archive_files, is_archive
from encoder.errors import InputError

_HIDDEN = (".", "_")  # how the names of files begin that are no part of a log, such as _SUCCESS


class LogPaths(tuple[str, ...]):
    """What the user named as the log. The text of the object is for messages."""

    def __str__(self) -> str:
        return self[0] if len(self) == 1 else f"{self[0]} and {len(self) - 1} more"


def log_paths(logs: Path | str | Sequence[Path | str]) -> list[Path]:
    """The files of a log, in the order of the arguments. A folder or a glob stands for its files in order of name.

    A folder stands for the files in it and in the folders in it, except for names that begin with a dot or an
    underscore. The folder of an archive stands for the files that the archive's segments list. A name that exists is no
    glob. Raises InputError for a folder or a glob without files, and when a file is named twice.
    """
    found: list[Path] = []
    for log in [logs] if isinstance(logs, str | Path) else logs:
        path = Path(log)
        if is_archive(path):
            files = archive_files(path)
        elif path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _is_hidden(file, path)]
        elif not path.exists() and glob.has_magic(str(log)):
            files = [Path(name) for name in sorted(glob.glob(str(log), recursive=True)) if Path(name).is_file()]
        else:
            files = [path]
        if not files:
            raise InputError(f"{log} has no files: name a file, a folder with files, or a glob that fits files")
        found += files
    repeated = [path for number, path in enumerate(found) if path in found[:number]]
    if repeated:
        raise InputError(f"{repeated[0]} stands twice among the files of the log: name each file once")
    return found


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(_HIDDEN) for part in file.relative_to(folder).parts)


def common_format(paths: Sequence[Path], format: str | None) -> str:
    """The format of all files of a log. format: a key of FORMATS, or None to choose by the names of the files.

    Raises InputError when the names tell several formats.
    """
    names = {format or format_from_name(path): path for path in paths}
    if len(names) > 1:
        (one, path), (other, other_path) = list(names.items())[:2]
        raise InputError(
            f"{path} is a file of format {one} and {other_path} of format {other}, and a log has one format: leave one "
            f"of them out, or name the format with --format ({', '.join(FORMATS)})"
        )
    return next(iter(names))

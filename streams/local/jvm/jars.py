"""The jars of the services in the cache: each jar is downloaded once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.local.jvm.jar_download import download_jars
from streams.local.jvm.jar_lock import Jar, locked_jars


def cache_dir(environment: Mapping[str, str]) -> Path:
    """The folder of the cache: THALWEG_CACHE, or ~/.cache/thalweg."""
    path = environment.get("THALWEG_CACHE")
    return Path(path) if path else Path.home() / ".cache" / "thalweg"


def classpaths(services: Sequence[str], cache: Path) -> dict[str, list[Path]]:
    """Paths of each service's jars, after a download of the jars that are missing or incomplete.

    Raises LocalServiceError for a jar that cannot be downloaded or has another hash than the lock says.
    """
    locked = locked_jars()
    folder = cache / "jars"
    missing = {jar.path: jar for name in services for jar in locked[name] if not _is_complete(folder / jar.path, jar)}
    if missing:
        download_jars(list(missing.values()), folder)
    return {name: [folder / jar.path for jar in locked[name]] for name in services}


def _is_complete(path: Path, jar: Jar) -> bool:
    try:
        return path.stat().st_size == jar.size_bytes
    except (FileNotFoundError, NotADirectoryError):
        return False

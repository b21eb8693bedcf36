"""Access to Maven repositories through jgo. jgo is imported inside the functions: most starts download nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jgo.maven import MavenContext

TIMEOUT_S = 30


def maven_context(folder: Path, advance: Callable[[int], None]) -> "MavenContext":
    """A context that downloads into `folder` and calls `advance` with the number of bytes that came."""
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def progress(filename: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield advance

    resolver = PythonResolver(progress_callback=progress)
    return MavenContext(resolver=resolver, repo_cache=folder, remote_repos=repositories(), timeout=TIMEOUT_S)


def repositories() -> dict[str, str]:
    """Name -> address: the repositories in jgo's configuration file (mirrors), then Maven Central."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    return {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}

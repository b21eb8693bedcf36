"""Downloads jars and checks their hashes. A jar in the folder is always complete."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from encoder.commands.preconditions import check_writable
from streams.local.errors import LocalServiceError
from streams.local.jvm.jar_lock import Jar
from streams.local.jvm.maven import maven_context

PARALLEL_DOWNLOADS = 8


def download_jars(jars: Sequence[Jar], folder: Path) -> None:
    """Download into a temporary folder, and move each jar into `folder` when its hash is right.

    Raises LocalServiceError for a jar that cannot be downloaded or has another hash than the lock says, and InputError
    for a folder that cannot be written.
    """
    check_writable(folder, f"the folder {folder} in THALWEG_CACHE")
    folder.mkdir(parents=True, exist_ok=True)
    total_bytes = sum(jar.size_bytes for jar in jars)
    with tempfile.TemporaryDirectory(dir=folder, prefix="partial-") as partial, _progress_bar(total_bytes) as advance:
        pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS)
        try:
            downloads = [pool.submit(_download, jar, Path(partial), folder, advance) for jar in jars]
            for download in as_completed(downloads):
                download.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _download(jar: Jar, partial: Path, folder: Path, advance: Callable[[int], None]) -> None:
    import requests  # jgo's HTTP client: its errors are raised here

    group, artifact, version, *classifier = jar.coordinate.split(":")
    context = maven_context(partial, advance)
    try:
        component = context.project(group, artifact).at_version(version)
        downloaded = component.artifact(classifier[0] if classifier else "").resolve()
    except (requests.RequestException, RuntimeError) as error:
        raise LocalServiceError(
            f"cannot download {jar.coordinate} ({type(error).__name__}: {str(error)[:200]}). The first start needs "
            "Maven Central, or a mirror named in jgo's configuration; without a network, copy the folder "
            f"{folder} from another machine"
        ) from None
    digest = hashlib.sha256(downloaded.read_bytes()).hexdigest()
    if digest != jar.sha256:
        raise LocalServiceError(
            f"{jar.coordinate} has SHA-256 {digest} where the lock says {jar.sha256}: "
            "the download was cut off or altered, try again"
        )
    target = folder / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(downloaded, target)


@contextmanager
def _progress_bar(total_bytes: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error. Yields the function that adds a number of bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("Downloading Kafka and Cassandra"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total_bytes)
        yield lambda count_bytes: progress.advance(task, count_bytes)

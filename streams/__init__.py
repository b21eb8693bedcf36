"""The live system of Thalweg: the worker, the monitor, the commands and the local services.

`main` is the program `thalweg`. It makes sure that the packages of the program are Thalweg's own, then runs
`streams.cli`. The packages `encoder`, `export` and `streams` have common names. A package of another distribution with
such a name may stand before ours on the path, or may have overwritten files of ours. Python would then end with an
ImportError that says nothing about the reason. Where `streams` itself is foreign, Python's ImportError names its file.
"""

import importlib.util
import signal
import sys
from pathlib import Path

PACKAGES = ("export", "encoder")


def main() -> int:
    """Run a command of the program and return the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the loading of modules without a traceback.
    for name in PACKAGES:
        fault = foreign_package(name, Path(__file__).parents[1])
        if fault:
            print(f"thalweg: {fault}", file=sys.stderr)
            return 1
    from streams.cli import main as run

    return run()


def foreign_package(name: str, folder: Path) -> str:
    """Why Python would not load Thalweg's own package of this name. Empty where Python would.

    folder: the folder in which Thalweg's packages stand.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return f"the package `{name}` is missing or incomplete in {folder}: install Thalweg again"
    found = Path(spec.origin)
    if found.parent.resolve() == (folder / name).resolve() and "Thalweg" in found.read_text(errors="replace"):
        return ""
    return (
        f"the package `{name}` at {found} is not that of Thalweg in {folder}, but another package of the same name: "
        "install Thalweg in an environment of its own, and look at PYTHONPATH"
    )

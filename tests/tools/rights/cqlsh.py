"""Runs the statements on standard input as cqlsh does, through the driver.

The login comes from the settings of the environment, and must be the one in the arguments: -u USER -p PASSWORD --ssl.
"""

import argparse
import re
import sys

from streams.config.loading import load_settings
from streams.store.protocol.cluster import connect


def statements(text: str) -> list[str]:
    """Return the statements of a text without its comments."""
    return [one.strip() for one in re.sub(r"--.*$", "", text, flags=re.MULTILINE).split(";") if one.strip()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-u", required=True)
    parser.add_argument("-p", required=True)
    parser.add_argument("--ssl", action="store_true", required=True)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    args = parser.parse_args()
    settings = load_settings()
    assert (args.u, args.p) == (settings.cassandra_user, str(settings.cassandra_password))
    assert f"{args.host}:{args.port}" == settings.cassandra
    cluster, session = connect(settings)
    for statement in statements(sys.stdin.read()):
        session.execute(statement)
    cluster.shutdown()


if __name__ == "__main__":
    main()

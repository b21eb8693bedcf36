"""The script of `thalweg setup --print` runs whole: Kafka's tools make topics and rights, the driver runs the CQL."""

import os
import subprocess
from pathlib import Path

import pytest

from streams.broker.topics import ensure_topic
from streams.config.settings import Settings
from streams.health.rights.kafka_rights import dead_letter_topic
from streams.local import LocalServices
from tests.support.bundles import tiny_bundle
from tests.support.deployment import environment_of, run_thalweg
from tests.tools.rights.programs import write_login, write_programs

ENDED_WITHIN_S = 120.0
SOURCE = "script.tracking"


@pytest.fixture
def settings(services: LocalServices, tmp_path: Path) -> Settings:
    """Return settings with names of which nothing exists."""
    topics = {name: f"script.{name}" for name in Settings.__struct_fields__ if name.endswith("_topic")}
    bundle = tiny_bundle(tmp_path / "bundle", items=20)
    return Settings(
        **services.client_settings, keyspace="byscript", group="script", bundle=str(bundle.path), partitions=2, **topics
    )


def test_the_script_makes_all_that_setup_makes(settings: Settings, tmp_path: Path) -> None:
    """A `thalweg setup` with an administrator's login finds everything in place, and nothing that differs."""
    for_both = ("--for", "worker", "rekey", "--source", SOURCE, "--user", "shop user", "--cassandra-role", "Shop")
    printed = run_thalweg(settings, "setup", "--print", *for_both)
    assert printed.returncode == 0, printed.stderr
    ensure_topic(settings, SOURCE, settings.partitions)
    programs = tmp_path / "programs"
    programs.mkdir()
    write_programs(programs)
    write_login(settings, tmp_path / "login")
    variables = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "KAFKA_LOGIN": str(tmp_path / "login"),
        "CQLSH_ARGUMENTS": f"-u {settings.cassandra_user} -p {settings.cassandra_password!s} --ssl",
    }
    ended = subprocess.run(
        ["sh"],
        input=printed.stdout,
        env=environment_of(settings) | variables,
        capture_output=True,
        text=True,
        timeout=ENDED_WITHIN_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    setup = run_thalweg(settings, "setup", *for_both)
    *lines, last = setup.stdout.splitlines()
    assert (setup.returncode, last) == (0, f"setup: {len(lines)} exists"), setup.stdout + setup.stderr
    assert any(dead_letter_topic(SOURCE) in line for line in lines)

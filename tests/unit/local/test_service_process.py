"""A service's process starts with the timer slack that the service asks for."""

import os
import select
import shutil
import sys
from pathlib import Path

import pytest

from streams.local.process.service_process import ServiceProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a timer slack")

END_LIMIT_S = 10


def wait_until_ended(service: ServiceProcess) -> None:
    """Wait until the service's process has ended, as its process descriptor tells."""
    pid = service.pid
    if pid is not None:
        descriptor = os.pidfd_open(pid)
        try:
            ended, _, _ = select.select([descriptor], [], [], END_LIMIT_S)
        finally:
            os.close(descriptor)
        assert ended, f"process {pid} still runs after {END_LIMIT_S} s"


@pytest.mark.parametrize("ends_with_parent", [True, False])
@pytest.mark.parametrize("slack_us", [0, 500])
def test_a_process_has_the_timer_slack_that_was_asked_for(
    tmp_path: Path, ends_with_parent: bool, slack_us: int
) -> None:
    cat = shutil.which("cat")
    assert cat is not None
    command, log = [cat, "/proc/self/timerslack_ns"], tmp_path / "log"
    service = ServiceProcess(
        "cat", "", command, log, lambda: True, {}, ends_with_parent=ends_with_parent, timer_slack_us=slack_us
    )
    service.start(wait=False)
    wait_until_ended(service)
    inherited_ns = int(Path("/proc/self/timerslack_ns").read_text())
    assert int(log.read_text()) == (1000 * slack_us or inherited_ns)

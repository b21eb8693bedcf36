"""What a service's process inherits from its start."""

import shutil
import sys
import time
from pathlib import Path

import pytest

from streams.local.process.processes import Service

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="timer slack is Linux's")


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("slack_us", [0, 500])
def test_timer_slack_is_the_one_asked_for(tmp_path: Path, bound: bool, slack_us: int) -> None:
    cat = shutil.which("cat")
    assert cat is not None
    command, log = [cat, "/proc/self/timerslack_ns"], tmp_path / "log"
    service = Service("cat", "", command, log, lambda: True, {}, bound=bound, timer_slack_us=slack_us)
    service.start(wait=False)
    deadline = time.monotonic() + 10
    while service.pid is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    own = int(Path("/proc/self/timerslack_ns").read_text())
    assert int(log.read_text()) == (1000 * slack_us or own)

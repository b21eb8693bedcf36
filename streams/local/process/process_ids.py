"""Processes that this process did not start, by their ids."""

import contextlib
import os
import signal
import time
from pathlib import Path

POLL_S = 0.05
STOP_LIMIT_S = 20.0


def is_running(pid: int) -> bool:
    """True while a process with this id exists and has not ended. A zombie has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:  # the system has no /proc, or the process has just ended
        return not Path("/proc/self").exists()


def end_process(pid: int, limit_s: float = STOP_LIMIT_S) -> None:
    """Send SIGTERM, wait until the process has ended, and send SIGKILL after the limit."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGTERM)
        deadline_s = time.monotonic() + limit_s
        while is_running(pid):
            if time.monotonic() > deadline_s:
                os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_S)

"""Run a program under what it inherits: `python launch.py PARENT_PID TIMER_SLACK_NS PROGRAM [ARGUMENT ...]`.

PARENT_PID: the program ends with this process, which started it; 0: it stays. TIMER_SLACK_NS: how late its threads may
wake up from a timed wait; 0: as the system has it, 50 us. Both by prctl(2), on Linux only.

A file of its own, run before the program takes its place: a hook between fork and exec would be unsafe in a
process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29


def main() -> None:
    parent, slack_ns, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if parent:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if slack_ns:
            prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(slack_ns), 0, 0, 0)
    if parent and os.getppid() != parent:  # it died before the line above
        sys.exit(f"the starting process {parent} is gone")
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()

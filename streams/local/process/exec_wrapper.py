"""Set two process attributes, then run a program: `python exec_wrapper.py PARENT_PID SLACK_NS PROGRAM [ARGUMENT ...]`.

PARENT_PID is the process that starts this one: the program is killed when that process ends. 0 turns this off.
SLACK_NS is the timer slack: how late the program's threads may wake up from a timed wait. 0 keeps the system's value,
which is 50 us. Both are attributes of prctl(2) and exist on Linux only.

The wrapper is a program of its own that the real program then replaces. A hook between fork and exec would be unsafe,
because the starting process has threads.
"""

import ctypes
import os
import signal
import sys

# Numbers of <sys/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29


def main() -> None:
    parent_pid, slack_ns, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if parent_pid:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if slack_ns:
            prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(slack_ns), 0, 0, 0)
    if parent_pid and os.getppid() != parent_pid:  # the parent ended before the kill signal was set
        sys.exit(f"the parent process {parent_pid} has ended")
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()

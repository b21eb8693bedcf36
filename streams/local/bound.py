"""Run a program that ends with the process that started it: `python bound.py PARENT_PID PROGRAM [ARGUMENT ...]`.

A file of its own, run before the program takes its place: a hook between fork and exec would be unsafe in a
process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(f"the starting process {parent} is gone")
    os.execv(program[0], program)


if __name__ == "__main__":
    main()

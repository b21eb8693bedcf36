"""Runs `thalweg backfill` with small blocks and a commit after each of them, and kills it (SIGKILL) at a chosen call.

`python -m tests.faults.programs.backfill_main ARGUMENTS`, with FAULT_POINT, FAULT_CALL and FAULT_DELAY_MS as of
`tests.faults.programs.worker_main`. BLOCK_ROWS is the number of rows of a block.
"""

import os
import sys

from streams.cli import main
from streams.commands.backfill import backfill
from tests.faults.programs.worker_main import arm_from_environment

if __name__ == "__main__":
    backfill.BLOCK_ROWS = int(os.environ.get("BLOCK_ROWS", "200"))
    backfill.COMMIT_EVERY_S = 0.0
    arm_from_environment()
    sys.exit(main(["backfill", *sys.argv[1:]]))

#!/usr/bin/env bash
# mode-streaming 0.7.1 (the services of Faust): SIGUSR1 makes a worker print the values of local variables.
#
# Expected: the signal prints the stacks of threads and tasks, as faulthandler does for a signal.
# Behaviour: `mode.utils.logging.cry` prints the local variables of each frame too, in full. The values of records that
#   are in flight, and what was read for them, stand in the log afterwards. The event loop waits while it prints.
# Why it matters: an operator who asks a busy worker where it hangs gets personal data in the log. A worker with some
#   micro-batches in flight printed 63 MB, and heartbeats waited meanwhile.
#
# The script runs a worker with one task that waits while it holds a record, and sends SIGUSR1.
# Output seen on 2026-11-28: "the stack names the task: True; the log holds the record: True"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mode-streaming==0.7.1
cat > "$folder/worker.py" <<'PYTHON'
import asyncio
import os
import signal

import mode


class Consumer(mode.Service):
    @mode.Service.task
    async def hold_a_record(self):
        record = "record-of-customer-4711"
        asyncio.get_running_loop().call_later(1, os.kill, os.getpid(), signal.SIGUSR1)
        asyncio.get_running_loop().call_later(2, os.kill, os.getpid(), signal.SIGTERM)
        while not self.should_stop:
            await self.sleep(0.1)
        return record


mode.Worker(Consumer(), quiet=True).execute_from_commandline()
PYTHON
(cd "$folder" && timeout 60 venv/bin/python worker.py > log.txt 2>&1) || true
"$folder/venv/bin/python" - "$folder/log.txt" <<'PYTHON'
import sys

log = open(sys.argv[1]).read()
names_the_task, holds_the_record = "hold_a_record" in log, "record = 'record-of-customer-4711'" in log
print(f"the stack names the task: {names_the_task}; the log holds the record: {holds_the_record}")
assert names_the_task, "no stack was printed: the script does not show anything"
assert holds_the_record, "local variables are not printed any more: the finding is over"
PYTHON

"""The supervisor's side of a worker process."""

import asyncio
import signal

from streams.supervisor.child_process import ChildProcess

CHILDREN = 60


def test_signals_to_a_process_that_is_ending_do_not_hide_its_exit_code() -> None:
    async def ended_under_signals() -> int:
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 7")
        reader = asyncio.StreamReader()
        reader.feed_eof()
        child = ChildProcess(process, reader)
        waiting = asyncio.create_task(child.wait())
        while not waiting.done():
            for _ in range(50):
                child.send_signal(signal.SIGCONT)
            await asyncio.sleep(0)
        return (await waiting).code

    async def codes() -> set[int]:
        return {await ended_under_signals() for _ in range(CHILDREN)}

    assert asyncio.run(codes()) == {7}

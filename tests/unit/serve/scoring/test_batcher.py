"""Requests that wait together are answered together, each with its own result or with the error of its batch."""

import asyncio
from collections.abc import Sequence

import pytest

from streams.serve.scoring.batcher import Batcher


def test_requests_that_come_during_a_call_share_the_next_calls() -> None:
    calls: list[Sequence[int]] = []

    async def double(numbers: Sequence[int]) -> list[int]:
        calls.append(numbers)
        await asyncio.sleep(0.01)
        return [2 * number for number in numbers]

    async def main() -> list[int]:
        batcher = Batcher(double, most=3)
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.submit(number)) for number in range(1, 6)]
        return [await task for task in (first, *others)]

    assert asyncio.run(main()) == [0, 2, 4, 6, 8, 10]
    assert calls == [[0], [1, 2, 3], [4, 5]]


def test_an_error_reaches_every_request_of_its_batch_and_no_other() -> None:
    async def fail_at_one(numbers: Sequence[int]) -> list[int]:
        await asyncio.sleep(0)
        if 1 in numbers:
            raise ValueError("one")
        return list(numbers)

    async def main() -> None:
        batcher = Batcher(fail_at_one, most=2)
        results = await asyncio.gather(*(batcher.submit(number) for number in (0, 1, 2, 3)), return_exceptions=True)
        assert [type(result) for result in results] == [ValueError, ValueError, int, int]
        assert await batcher.submit(7) == 7

    asyncio.run(main())


def test_a_request_that_was_given_up_is_not_called() -> None:
    calls: list[Sequence[int]] = []

    async def slow(numbers: Sequence[int]) -> list[int]:
        calls.append(numbers)
        await asyncio.sleep(0.02)
        return list(numbers)

    async def main() -> None:
        batcher = Batcher(slow, most=10)
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.sleep(0.005)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher.submit(1), 0.001)
        last = asyncio.create_task(batcher.submit(2))
        assert (await first, await last) == (0, 2)

    asyncio.run(main())
    assert calls == [[0], [2]]

"""Sends requests from a process of its own, and measures how long each answer takes.

`python -m tests.benchmarks.serving.load JSON`, where JSON is a `Load`. Prints a `Seen` as JSON.
"""

import asyncio
import random
import sys
import time
from typing import Literal

import aiohttp
import msgspec
import numpy as np

CANDIDATES = 500
Kind = Literal["recommendations", "rank", "representation", "similar"]
MIX: dict[Kind, float] = {"recommendations": 0.5, "rank": 0.2, "representation": 0.2, "similar": 0.1}


class Load(msgspec.Struct, frozen=True):
    """What is sent. rate: requests per second that are sent whatever comes back; 0: as many as `clients` can."""

    address: str
    users: int
    items: int
    seconds: float
    kinds: dict[Kind, float]
    rate: float = 0.0
    clients: int = 1


class Seen(msgspec.Struct, frozen=True):
    """What came back. The times are in ms."""

    p50_ms: float
    p99_ms: float
    requests: int
    errors: int
    seconds: float
    p99_ms_by_kind: dict[str, float]


class Sender:
    def __init__(self, load: Load, http: aiohttp.ClientSession) -> None:
        self._load = load
        self._http = http
        self._draw = random.Random(1)
        self._taken_s: dict[str, list[float]] = {kind: [] for kind in load.kinds}
        self._errors = 0

    async def open_loop(self) -> None:
        """Send at the rate. A late answer delays no later request."""
        begin_s, tasks = time.perf_counter(), []
        for number in range(int(self._load.rate * self._load.seconds)):
            due_s = begin_s + number / self._load.rate
            if (early_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(early_s)
            tasks.append(asyncio.create_task(self._send(due_s)))
        await asyncio.gather(*tasks)

    async def closed_loop(self) -> None:
        """Each client sends its next request as soon as the answer is there."""
        end_s = time.perf_counter() + self._load.seconds

        async def client() -> None:
            while time.perf_counter() < end_s:
                await self._send(time.perf_counter())

        await asyncio.gather(*(client() for _ in range(self._load.clients)))

    def seen(self, seconds: float) -> Seen:
        everything = np.concatenate([np.array(taken) for taken in self._taken_s.values()]) * 1000
        return Seen(
            p50_ms=float(np.percentile(everything, 50)),
            p99_ms=float(np.percentile(everything, 99)),
            requests=len(everything),
            errors=self._errors,
            seconds=seconds,
            p99_ms_by_kind={
                kind: float(np.percentile(taken, 99)) * 1000 for kind, taken in self._taken_s.items() if taken
            },
        )

    async def _send(self, due_s: float) -> None:
        kind = self._draw.choices(list(self._load.kinds), list(self._load.kinds.values()))[0]
        user = f"user-{self._draw.randrange(self._load.users)}"
        try:
            async with self._request(kind, user) as answer:
                await answer.read()
                self._errors += answer.status != 200
        except aiohttp.ClientError:
            self._errors += 1
        self._taken_s[kind].append(time.perf_counter() - due_s)

    def _request(self, kind: Kind, user: str) -> aiohttp.client._RequestContextManager:
        address = self._load.address
        if kind == "rank":
            items = [f"item-{item}" for item in self._draw.sample(range(self._load.items), CANDIDATES)]
            return self._http.post(f"{address}/v1/rank", json={"user_id": user, "item_ids": items})
        if kind == "similar":
            return self._http.get(f"{address}/v1/items/item-{self._draw.randrange(self._load.items)}/similar?k=20")
        ending = "recommendations?k=20" if kind == "recommendations" else "representation"
        return self._http.get(f"{address}/v1/users/{user}/{ending}")


async def measure(load: Load) -> Seen:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        sender = Sender(load, http)
        begin_s = time.perf_counter()
        await (sender.open_loop() if load.rate else sender.closed_loop())
        return sender.seen(time.perf_counter() - begin_s)


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(measure(msgspec.json.decode(sys.argv[1], type=Load)))).decode())

"""The HTTP endpoints of a supervisor: it asks all processes at each request, and answers for all of them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

import aiohttp
from aiohttp import web

from streams.health.endpoints import metrics_response
from streams.health.registry import bare_registry
from streams.supervisor.merged_metrics import MergedMetrics

ANSWER_LIMIT_S = 2.0  # for a process; probes of orchestrators wait a second or more


class Answer(NamedTuple):
    """What a process answered; status 0 where there was no answer in time."""

    status: int
    text: str


class Answers:
    """Asks the processes over loopback."""

    def __init__(self, addresses: Callable[[], Mapping[int, str | None]], metrics: MergedMetrics) -> None:
        """addresses: by the number of the process; None while the process serves no endpoints yet."""
        self._addresses = addresses
        self._metrics = metrics
        self._registry = bare_registry()  # The figures of the processes are in their answers.
        self._registry.register(metrics)

    async def metrics(self, _: web.Request) -> web.Response:
        """The metrics of all processes, merged. A process that does not answer counts with its last answer."""
        asked = self._addresses()
        for number, answer in (await _ask(asked, "/metrics")).items():
            if answer.status == 200 and self._addresses()[number] == asked[number]:  # not ended meanwhile
                self._metrics.take(number, answer.text)
        return metrics_response(self._registry)

    async def healthz(self, _: web.Request) -> web.Response:
        """503 when a process that serves endpoints would answer so, or does not answer.

        A process that starts is no fault, because the supervisor sees to it.
        """
        return _summary(await _ask(self._addresses(), "/healthz"), "ok")

    async def readyz(self, _: web.Request) -> web.Response:
        """503 as long as one process is not ready."""
        addresses = self._addresses()
        starting = {number: Answer(0, "starts") for number, address in addresses.items() if address is None}
        return _summary(await _ask(addresses, "/readyz") | starting, "ready")


async def _ask(addresses: Mapping[int, str | None], path: str) -> dict[int, Answer]:
    """The answers of the processes that serve endpoints, by number."""
    urls = {number: f"{address}{path}" for number, address in addresses.items() if address is not None}
    timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        answers = await asyncio.gather(*(_get(client, url) for url in urls.values()))
    return dict(zip(urls, answers, strict=True))


async def _get(client: aiohttp.ClientSession, url: str) -> Answer:
    try:
        async with client.get(url) as response:
            return Answer(response.status, (await response.text()).strip())
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Answer(0, "does not answer")


def _summary(answers: Mapping[int, Answer], text: str) -> web.Response:
    faults = [f"process {number}: {answer.text}" for number, answer in sorted(answers.items()) if answer.status != 200]
    return web.Response(text="\n".join(faults or [text]) + "\n", status=503 if faults else 200)

"""Every scenario of the fault suite at small scale, on a Kafka and a Cassandra that no other test uses."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext

import pytest

from export.runtime.bundle import Bundle
from streams.local import local_services
from tests.faults import scenarios
from tests.faults.registry import SCENARIOS, SMALL
from tests.faults.trial import Row, run_scenario
from tests.support.stream.preloaded.process import real_starts

assert scenarios.__all__, "the import registers the scenarios"
TOGETHER = 2  # scenarios at a time; each mostly waits for sessions to time out and for workers to start
IN_THE_START = ("stop-while-joining",)  # A stop may come while modules are loaded.
NAMES = sorted((name for name, one in SCENARIOS.items() if one.nodes == 1), key=lambda name: SCENARIOS[name].alone)


@pytest.fixture(scope="module")
def play(
    request: pytest.FixtureRequest, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Row]]:
    """Return a function that gives a scenario's result.

    Scenarios that do not stop a service run side by side, before the tests ask for their results.
    """
    chosen = {item.callspec.params["name"] for item in request.session.items if item.path == request.path}
    folder = tmp_path_factory.mktemp("faults")
    with local_services() as services, ThreadPoolExecutor(TOGETHER) as pool:

        def run(name: str) -> Row:
            with real_starts() if name in IN_THE_START else nullcontext():
                return run_scenario(SCENARIOS[name], "small", services, bundle, folder, seed=0)

        ahead: dict[str, Future[Row]] = {
            name: pool.submit(run, name) for name in NAMES if name in chosen and not SCENARIOS[name].alone
        }

        def row_of(name: str) -> Row:
            if name in ahead:
                return ahead[name].result()
            wait(ahead.values())
            return run(name)

        yield row_of


@pytest.mark.services
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_or_applied_twice(play: Callable[[str], Row], name: str) -> None:
    row = play(name)
    assert not row.problems, "\n".join(row.problems)
    assert (row.lost, row.double_applied) == (0, 0)
    assert row.faults > 0
    assert row.events >= SMALL.events

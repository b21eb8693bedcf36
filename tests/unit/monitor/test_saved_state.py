"""The state of the monitor: what was counted goes on, another topic's or a damaged file does not count."""

import os
import pickle
from pathlib import Path

import msgspec
import pytest

from streams.monitor.drift.level import Change
from streams.monitor.drift.watch import Watch
from streams.monitor.saved_state import SavedState, State
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from tests.support.monitoring.simulated_stream import Record, scored, simulated_stream


def state_in(folder: Path) -> SavedState:
    state = SavedState(folder, "k:9092", "evaluation")
    assert state.acquire()
    return state


def test_a_monitor_that_goes_on_counts_as_one_that_never_stopped(tmp_path: Path) -> None:
    batches = [evaluations for evaluations, _ in scored(simulated_stream(3, "none", events=30_000).records)]
    whole = BundleScoreboards(600_000, 5_000)
    expected = [metrics for batch in batches for metrics in whole.observe(batch)]

    boards, found = BundleScoreboards(600_000, 5_000), []
    for number, batch in enumerate(batches):
        if number % 4 == 0:
            state = state_in(tmp_path)
            state.save("id-1", State(boards, {"evaluation": {0: number}}))
            loaded = state.load("id-1")
            state.release()
            assert isinstance(loaded, State)
            assert loaded.positions == {"evaluation": {0: number}}
            boards = loaded.scoreboards
        found += boards.observe(batch)
    assert len(expected) > 10
    assert msgspec.json.encode(found) == msgspec.json.encode(expected)
    assert boards.snapshot() == whole.snapshot()
    assert boards.take_alarms() == whole.take_alarms()


def test_everything_that_a_scoreboard_keeps_can_be_loaded(tmp_path: Path) -> None:
    """Predictions, head counts and erased users are in the state as well."""
    boards = BundleScoreboards(1_000, 5_000)
    [evaluations, _] = next(scored(simulated_stream(3, "none", events=2_000).records))
    boards.observe(evaluations)
    value = b'{"system": "s", "user_id": "user-00001", "after_event_id": "behavior.events.v1-0-0-7", "items": ["a"]}'
    boards.predict(Record("predictions", 0, 0, 0, b"", value))
    boards.observe(evaluations)
    [board] = boards._boards.values()
    board.alarms = [Watch("gru-1")._alarm(("gaps", "all"), Change("firing", 1, None, 1.0, 2.0))]
    state = state_in(tmp_path)
    state.save("id", State(boards, {}))
    loaded = state.load("id")
    assert isinstance(loaded, State), loaded
    assert loaded.scoreboards.snapshot() == boards.snapshot()
    assert loaded.scoreboards.take_alarms() == boards.take_alarms() != []


def test_a_state_of_another_topic_or_a_damaged_one_is_not_used_and_says_so(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    assert "does not exist yet" in str(state.load("id-1"))
    state.save("id-1", State(BundleScoreboards(1_000, 5_000), {}))
    assert "a topic that was deleted" in str(state.load("id-2"))
    content = state.path.read_bytes()
    state.path.write_bytes(content[: len(content) // 2])
    assert state.path.stat().st_mode & 0o077 == 0, "the file is the owner's alone"
    assert "cannot be used" in str(state.load("id-1"))
    assert (tmp_path / state.path.with_suffix(".damaged").name).read_bytes() == content[: len(content) // 2]
    assert not state.exists()


def test_a_file_of_another_origin_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "made"),)

    state = state_in(tmp_path)
    state.path.write_bytes(pickle.dumps(Evil()))
    assert "is no part of a state" in str(state.load("id"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("reference", ["streams.contracts.generate\nmain", "streams.monitor.scoring.scores\n__name__"])
def test_a_state_names_classes_alone_and_no_functions(tmp_path: Path, reference: str) -> None:
    state = state_in(tmp_path)
    state.path.write_bytes(b"\x80\x02c" + reference.encode() + b"\n.")
    assert "is no part of a state" in str(state.load("id"))


def test_one_monitor_at_a_time_holds_the_state(tmp_path: Path) -> None:
    first, second = SavedState(tmp_path, "k:9092", "evaluation"), SavedState(tmp_path, "k:9092", "evaluation")
    assert first.acquire()
    assert not second.acquire()
    assert SavedState(tmp_path, "k:9092", "other").acquire()
    first.release()
    assert second.acquire()


def test_the_topics_of_two_clusters_have_two_files(tmp_path: Path) -> None:
    first, second = SavedState(tmp_path, "a:9092,b:9092", "evaluation"), SavedState(tmp_path, "c:9092", "evaluation")
    assert first.acquire()
    assert second.acquire()
    assert first.path != second.path
    assert SavedState(tmp_path, "b:9092,a:9092", "evaluation").path == first.path

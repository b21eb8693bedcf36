"""The sample of events that are evaluated is the same in each replay, and its means estimate those of all events."""

from collections.abc import Sequence

import numpy as np
import pytest

from encoder.metrics.ranking import mrr, recall
from streams.engine.sampling import EVERYTHING, Sample


def due(sample: Sample, partition: int, offsets: Sequence[int]) -> list[int]:
    return sample.due(np.full(len(offsets), partition), np.array(offsets, np.int64)).tolist()


def test_at_share_one_every_event_is_evaluated() -> None:
    assert due(EVERYTHING, 3, [5, 9, 10]) == [0, 1, 2]
    assert due(Sample("events", 1.0), 0, range(100)) == list(range(100))


def test_an_event_is_chosen_only_by_its_id() -> None:
    sample = Sample("events", 0.3)
    at_once = due(sample, 1, range(1_000))
    in_parts = [100 * part + at for part in range(10) for at in due(sample, 1, range(100 * part, 100 * part + 100))]
    assert in_parts == at_once
    assert at_once != due(sample, 2, range(1_000)), "each partition has another sample"
    assert set(due(Sample("events", 0.1), 1, range(1_000))) < set(at_once), "a larger share only adds events"


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_mean_of_a_sample_is_an_unbiased_estimate_of_the_mean_of_all_events(share: float) -> None:
    """Take 400 samples of the same ranks, one for each partition.

    Their mean is that of all ranks within the standard error, and their spread is that of random samples.
    """
    events, choices = 20_000, 400
    draw = np.random.default_rng(0)
    ranks = np.minimum(draw.zipf(1.3, events), 1_000_000)
    ranks.sort()  # the quality changes along the log, so that a sample that prefers a part of the log would show
    sampled = [ranks[due(Sample("events", share), partition, range(events))] for partition in range(choices)]
    sizes = np.array([len(sample) for sample in sampled])
    assert abs(sizes.mean() - share * events) < 4 * np.sqrt(share * (1 - share) * events / choices)
    for metric in (recall, mrr):
        whole = metric(ranks, 20)
        estimates = np.array([metric(sample, 20) for sample in sampled])
        of_one = np.std([metric(np.array([rank]), 20) for rank in ranks])
        expected_spread = of_one * np.sqrt((1 - share) / (share * events))
        assert abs(estimates.mean() - whole) < 4 * expected_spread / np.sqrt(choices)
        assert estimates.std() == pytest.approx(expected_spread, rel=0.2)

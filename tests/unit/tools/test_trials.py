"""What the suite of faults says of a scenario."""

from collections import deque
from typing import Any

import msgspec
import numpy as np

from tests.faults.__main__ import judgement
from tests.faults.trial import Fault, Row, Trial
from tests.faults.watch.answers import Answers


class Commits:
    """One commit at each whole second."""

    def next_after(self, moment: float) -> float:
        return float(int(moment) + 1)


def trial(*faults: Fault) -> Trial:
    made = object.__new__(Trial)
    made.faults, made.commits = list(faults), Commits()  # type: ignore[assignment]  # only next_after is asked
    return made


def test_the_longest_recovery_counts_and_a_scenario_without_a_fault_has_none() -> None:
    assert trial().recovery_s() is None
    assert trial(Fault("kill", 1.0, 2.5), Fault("kill", 5.0, 5.25)).recovery_s() == 0.75
    assert trial(Fault("kill", 1.0, 2.5), Fault("kill", 2.75, 5.75)).recovery_s() == 0.25, "the next fault came first"


def test_a_cluster_that_keeps_its_quorum_must_not_stand_still_and_must_be_read() -> None:
    fields: dict[str, Any] = dict.fromkeys(Row.__struct_fields__)
    good = Row(**fields | {"standstill_s": 10.0, "keeps_quorum": True, "reads": 1})
    late, unread = msgspec.structs.replace(good, standstill_s=10.1), msgspec.structs.replace(good, reads=0)
    assert judgement(good, nodes=3) == []
    assert judgement(late, nodes=3) == ["a partition stood still for 10.1 s, more than 10 s"]
    assert judgement(msgspec.structs.replace(late, keeps_quorum=False), nodes=3) == []
    assert judgement(late, nodes=1) == [], "a single node was away"
    assert judgement(unread, nodes=3) == ["no reader asked the server"]
    assert judgement(msgspec.structs.replace(unread, skipped="no disk"), nodes=3) == []


def test_an_answer_is_of_the_user_the_bundle_and_the_width_and_not_older_than_before() -> None:
    answers = object.__new__(Answers)
    answers.kept, answers._steps, answers._bundle_id, answers._width = deque(), {}, "gru", 2
    body = {"user_id": "u", "bundle_id": "gru", "representation": [0.5, 1.0], "steps": 3}
    assert answers._judge("u", body) == ""
    assert answers._judge("u", body | {"steps": 2}) == "u: 2 steps, after an answer of 3"
    for wrong in ({"user_id": "v"}, {"bundle_id": "other"}, {"representation": [0.5]}):
        assert answers._judge("u", body | wrong).startswith("u: user, bundle and width")
    assert [(kept.user_id, kept.steps) for kept in answers.kept] == [("u", 3), ("u", 2)]
    assert np.array_equal(answers.kept[0].representation, np.float32([0.5, 1.0]))

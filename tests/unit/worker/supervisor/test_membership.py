"""The names of the members of a consumer group."""

import pytest

from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.supervisor.membership import instance_ids


def test_the_processes_of_a_named_worker_have_its_name_and_their_number() -> None:
    assert instance_ids(2, "thalweg-worker-0") == ["thalweg-worker-0-1", "thalweg-worker-0-2"]


def test_the_processes_of_two_supervisors_without_a_name_have_other_names() -> None:
    assert len({*instance_ids(2, None), *instance_ids(2, None)}) == 4


@pytest.mark.parametrize("name", ["", "worker 0", "a/b", "x" * 201])
def test_a_name_that_kafka_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"group_instance_id \(THALWEG_GROUP_INSTANCE_ID\)"):
        load_settings({"THALWEG_GROUP_INSTANCE_ID": name})

"""The remedy for missing rights on Kafka. tests/integration/refused/rights has the questions at a real broker."""

import pytest

from streams.config.errors import RightsError
from streams.config.settings import Settings
from streams.health.rights import check
from streams.health.rights.kafka_rights import rekey_rights


def test_rekey_into_another_topic_names_the_setting_that_setup_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """`thalweg setup --for rekey` gives rights on the topic of the setting, and `--to` may name another one."""
    rights = rekey_rights("tracking", "keyed")
    monkeypatch.setattr(check, "lacking_on_broker", lambda *_: rights)
    settings = Settings(broker_user="shop", broker_password="secret")
    with pytest.raises(
        RightsError, match=r"--for rekey --source TOPIC --user shop.*behavior_topic is the topic to wri"
    ):
        check.check_broker_rights(settings, "rekey", rights=rights)

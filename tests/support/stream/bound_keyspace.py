"""What a keyspace is bound to, in the place of Cassandra: a topic, a key of pseudonyms, noise."""

import json
from typing import Any


class BoundKeyspace:
    """The tables `behavior_topic`, `bundles` and `sources` of a keyspace, for the statements of the registry."""

    def __init__(self, **topic_of: str | None) -> None:
        """topic_of: bundle id -> its updates topic, None where only an earlier version has served the bundle."""
        self.bound: dict[str, str] = {}
        self._topic_of = topic_of

    def execute(self, _: str, query: str, values: Any = ()) -> list[tuple[str]]:
        if "INSERT INTO k.behavior_topic" in query:
            assert query.endswith("IF NOT EXISTS")
            self.bound.setdefault(values[0], values[1])
            return []
        if "FROM k.behavior_topic" in query:
            return [(self.bound[values[0]],)] if values[0] in self.bound else []
        if "FROM k.sources" in query:
            return []  # no worker has entered an epoch
        if query == "SELECT bundle_id FROM k.bundles":
            return [(bundle_id,) for bundle_id in self._topic_of]
        assert query == "SELECT JSON * FROM k.bundles"
        fields = {"width": 4, "items": 9, "first_served_at": "2026-11-29 08:00:00.000Z"}
        return [
            (json.dumps(fields | {"bundle_id": one, "updates_topic": topic}),) for one, topic in self._topic_of.items()
        ]

"""How far the reading of the catalogue is."""

from dataclasses import dataclass, field
from typing import Literal

from streams.serve.catalogue.catalogue import Catalogue

State = Literal["starting", "absent", "loading", "following", "unreachable"]


@dataclass
class Progress:
    """The present catalogue, and how far it is. The follower changes the fields.

    catalogue: what the last complete reading gave, and what came since then.
    state: `absent` while there is no topic, `loading` until the first reading has reached the end of the topic,
    `unreachable` while Kafka does not answer.
    lag_records: records of the topic that were not read yet at the last look.
    broken: records that were ignored in the present reading, because they are no items.
    """

    state: State = "starting"
    catalogue: Catalogue = field(default_factory=Catalogue)
    lag_records: int = 0
    broken: int = 0
    has_loaded: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether a first reading is under way, or will soon be."""
        return not self.has_loaded and self.state in ("starting", "loading")

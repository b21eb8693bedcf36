"""A prediction of another system, which the monitor scores on the user's next event. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

from streams.contracts.fields import RecordId

MAX_PREDICTED_ITEMS = 1_000
# Scorers of the monitor itself. A prediction under one of these names is not scored.
RESERVED_SYSTEMS = frozenset({"model", "popularity", "last_item", "frozen_1h", "frozen_1d"})


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """The items that another system expects as the next event of a user, best first; key = user_id.

    The prediction is scored on the user's first event after `after_event_id`, if the prediction is in the topic before
    the evaluation event of that event. An item outside the list is a miss. Of two predictions of a system for one user,
    the later one counts.
    """

    system: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
            description="name of the system; model, popularity, last_item, frozen_1h and frozen_1d are taken",
        ),
    ]
    user_id: str
    after_event_id: Annotated[RecordId, Meta(description="the user's last event that the system knew")]
    items: Annotated[list[str], Meta(max_length=MAX_PREDICTED_ITEMS, description="item ids, best first")]

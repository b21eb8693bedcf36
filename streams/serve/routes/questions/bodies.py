"""The bodies of the questions about one user, as the OpenAPI document shows them."""

from typing import Annotated

from pydantic import BaseModel, Field

from streams.serve.routes.bodies import FIRST_ERROR, Event, Id, Request

MOST_LOOKALIKES = 100
MOST_DAYS = 3_650
MOST_EXPLAINED = 100  # events, newest, of which each is left out once

AtMs = Annotated[int, Field(description="the moment from which the answer looks ahead")]
WaitedMs = Annotated[int, Field(description="time without an event, from `last_time_ms` to `at_ms`, at least 0")]


class Churn(BaseModel):
    """The risk that the user has no event."""

    user_id: Annotated[str, Field(description="the user")]
    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    days: Annotated[float, Field(description="as in the request")]
    probability: Annotated[float, Field(description="of no event within `days` from `at_ms`")]
    steps: Annotated[int, Field(description="events applied so far")]
    last_time_ms: Annotated[int, Field(description="latest event time seen")]
    at_ms: AtMs
    waited_ms: WaitedMs


class ActionProbability(BaseModel):
    """How probable it is that the next event has this action."""

    action: Annotated[str, Field(description="the next event's action")]
    probability: Annotated[float, Field(description="between 0 and 1")]


class TimeQuantile(BaseModel):
    """A time within which the next event comes with this probability."""

    share: Annotated[float, Field(description="probability that the next event comes within the time")]
    within_ms: Annotated[int | None, Field(description="time from `at_ms`; null: more than 100 years")]


class NextEvent(BaseModel):
    """What the bundle predicts of the user's next event."""

    user_id: Annotated[str, Field(description="the user")]
    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    action: Annotated[str, Field(description="the action to name where one is wanted")]
    actions: Annotated[list[ActionProbability], Field(description="known actions, the most probable first")]
    other_action: Annotated[float, Field(description="probability of an action that the bundle does not know")]
    times: Annotated[list[TimeQuantile], Field(description="shares from the lowest to the highest")]
    steps: Annotated[int, Field(description="events applied so far")]
    last_time_ms: Annotated[int, Field(description="latest event time seen")]
    at_ms: AtMs
    waited_ms: WaitedMs


class Lookalike(BaseModel):
    """A user and the cosine of both representations."""

    user_id: Annotated[str, Field(description="the other user")]
    cosine: Annotated[float, Field(description="1: the same direction; 0: no relation; -1: opposite")]


class Lookalikes(BaseModel):
    """The users whose representations point most nearly the same way."""

    user_id: Annotated[str, Field(description="the user")]
    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    users: Annotated[list[Lookalike], Field(description="the highest cosine first")]
    index_age_ms: Annotated[int, Field(description="time since the index had every update of the topic")]
    index_records_behind: Annotated[int, Field(description="updates of the topic that the index has not read yet")]
    index_users: Annotated[int, Field(description="users of the bundle in the index")]
    index_is_full: Annotated[bool, Field(description="true: the index has left users out, because it holds its most")]


class RecentItem(BaseModel):
    """One of the user's last distinct items."""

    item_id: Annotated[str, Field(description="the recent item")]
    repeat: Annotated[float, Field(description="what the item's score has besides its dot product")]
    cosine: Annotated[float, Field(description="of the vectors of this item and the explained item")]


class EventEffect(BaseModel):
    """What the history has by this event: the whole history beside the history without the event."""

    item_id: Annotated[str, Field(description="the item")]
    action: Annotated[str, Field(description="the action of the event")]
    event_time_ms: Annotated[int, Field(description="milliseconds since 1970")]
    is_known_item: Annotated[bool, Field(description="false: the bundle does not know the item")]
    moved_cosine: Annotated[float, Field(description="1 - cosine of the representations with and without the event")]
    moved_l2: Annotated[float, Field(description="distance of the representations with and without the event")]
    score_change: Annotated[
        float, Field(description="the model's part of the item's score with the event, minus without")
    ]
    rank_without: Annotated[int, Field(description="the explained item's `rank` without the event")]


class Explained(BaseModel):
    """The parts of an item's score."""

    bundle_id: Annotated[str, Field(description="the bundle that the answer is from")]
    item_id: Annotated[str, Field(description="the explained item")]
    score: Annotated[float, Field(description="in the scenario home: the sum of dot, repeat, co and content")]
    dot: Annotated[float, Field(description="dot product of the item's vector and the representation")]
    repeat: Annotated[float, Field(description="what one of the user's recent items has besides")]
    co: Annotated[float, Field(description="how often the item stands in visits with recent items")]
    content: Annotated[float, Field(description="category and brand in common with recent items")]
    model_score: Annotated[float, Field(description="the model's part: the sum of dot and repeat")]
    rank: Annotated[
        int, Field(description="by the model's part, over all items of the bundle, with ties against the item")
    ]
    recent_items: Annotated[list[RecentItem], Field(description="the newest first")]
    steps: Annotated[int, Field(description="events applied so far")]


class UserExplanation(Explained):
    """What moved the vector of a stored user, and the score of an item."""

    user_id: Annotated[str, Field(description="the user")]
    events: Annotated[
        list[EventEffect] | None,
        Field(description=f"the newest {MOST_EXPLAINED} events, the oldest first; null: see `events_missing`"),
    ]
    events_missing: Annotated[str | None, Field(description="why there are no events")]


class SessionExplanation(Explained):
    """What moved the vector after events that were sent along."""

    events: Annotated[
        list[EventEffect], Field(description=f"the newest {MOST_EXPLAINED} events that count, the oldest first")
    ]


class EventsToExplain(Request):
    """The events of a session, and the item whose score they explain."""

    events: Annotated[
        list[Event], FIRST_ERROR, Field(description="the events in their order", min_length=1, max_length=1_000)
    ]
    item_id: Annotated[Id | None, Field(description="the item to explain; null: the first recommended one")] = None

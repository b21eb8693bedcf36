"""What speaks against making a bundle the active one. Pure."""

from collections.abc import Iterator

import msgspec

from encoder.wording import counted
from streams.contracts.comparisons import MAX_BUNDLES, BundleComparison
from streams.engine.codec import decoder_rules

CAUGHT_UP_WITHIN_S = 5.0  # the time in which a group must commit everything that the topic held
RECENT_MS = 3_600_000  # the age at which a comparison says nothing about the traffic of today
# A monitor compares every pair of up to MAX_BUNDLES bundles, except one that was started with --compare.
_MONITOR = (
    "let one `thalweg monitor` run while the workers of both bundles run; a monitor with `--compare` compares its pair "
    "alone, and a second monitor on the same machine publishes nothing"
)


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a bundle could answer now.

    lag: the records that the bundle's group has not committed within CAUGHT_UP_WITHIN_S. mapping: the name by which the
    bundle's workers read the topic, None where none has read.
    """

    bundle_id: str
    workers: int
    lag: int
    item_vectors: int
    items: int
    mapping: str | None
    is_retired: bool


def lacking_readiness(ready: Readiness, active: str, active_mapping: str | None) -> Iterator[str]:
    """Why the bundle could not answer as the active bundle does, one sentence for each reason."""
    name = ready.bundle_id
    if ready.is_retired:
        yield f"the rows of {name} are deleted, because the bundle was retired"
        return
    if not ready.workers:
        yield f"no worker of {name} runs, so its rows fall behind: start `thalweg shadow` or `thalweg worker` with it"
    if ready.lag:
        yield (
            f"the workers of {name} lag: {counted(ready.lag, 'record is', 'records are')} not committed after "
            f"{CAUGHT_UP_WITHIN_S:g} s; wait until `thalweg bundles` shows that they have caught up"
        )
    if ready.item_vectors < ready.items:
        yield f"only {ready.item_vectors:,} of {ready.items:,} item vectors of {name} are stored"
    if (
        ready.mapping is not None
        and active_mapping is not None
        and decoder_rules(ready.mapping) != decoder_rules(active_mapping)
    ):
        yield f"{name} reads the topic by {ready.mapping}, and {active} by {active_mapping}"


def lacking_comparison(found: BundleComparison | None, active: str, new: str, now_ms: int) -> Iterator[str]:
    """Why the comparison does not show that the new bundle is better, one sentence for each reason.

    found: the latest comparison of exactly these two bundles.
    """
    if found is None:
        yield (
            f"no comparison of {active} with {new} is published: {_MONITOR}; a monitor compares {MAX_BUNDLES} bundles "
            f"at most: where more have workers, `thalweg monitor --compare {active} {new}` compares these two"
        )
        return
    if found.events + found.open_events == 0:
        yield f"no event has been scored by both bundles within five minutes yet: wait for new events, and {_MONITOR}"
        return
    if found.last_scored_at_ms is None:
        yield f"the comparison does not tell when both bundles scored an event last (last_scored_at_ms): {_MONITOR}"
    elif (age_ms := now_ms - found.last_scored_at_ms) > RECENT_MS:
        yield (
            f"both bundles scored the last event of the comparison {age_ms / 60_000:,.0f} minutes ago "
            f"(last_scored_at_ms): {_MONITOR}"
        )
    if found.mean_difference is None:
        yield (
            f"no event counts yet: the {found.open_events:,} events that both bundles have scored are in blocks of "
            "users that are not over, so wait for new events"
        )
    elif found.low <= 0:
        yield (
            f"{new} is not shown to be better than {active}: the {found.metric} differs by "
            f"{found.mean_difference:+.4f}, and the interval from {found.low:+.4f} to {found.high:+.4f} is not "
            f"above 0, after {counted(found.events, 'event')} of {counted(found.users, 'user')}"
        )

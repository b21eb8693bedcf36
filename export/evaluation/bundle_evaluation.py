"""The whole evaluation of a bundle over a log, as one JSON object.

Every event's item is ranked over the bundle's whole catalogue, under the representation before the event. Ties count
against the model, and an item outside the catalogue is a miss. A user starts without history, or with the user's events
in a history log. A worker does the same with the same events, so its figures are the same.

    bundle_id, catalogue     the model and its number of items
    events, users            scored
    history                  {"events", "users"}: history of the scored users, which is stepped first
    scored                   "all", or "last": only each user's last event is scored
    leak                     see `encoder.metrics.leakage.find_leak`
    metrics                  {"all", "warm": events of users with history, which the monitor scores, "cold"} ->
                             `slices.summary`
    masked                   the same for the ranking without the user's own items, as of `queries.masked_ranks`
    baselines                {"popularity", "last_item"} -> {"all", "warm", "cold"} -> summary, as counted in the whole
                             history log; None without a history log
    lists                    see `recommendation_lists.describe_lists`
    calibration              see `recommendation_lists.calibration`
    slices                   group -> label -> summary; with a history log also "popularity": {"recall@20", "mrr@20"};
                             with heads also "action_accuracy" and "time_log_likelihood"
    heads                    None without heads, or see `heads.head_metrics`; without churn where "last" is scored,
                             because then nothing follows an event
    compare                  None, or {"bundle_id", "catalogue", "leak", "metrics", "difference": {"all", "warm",
                             "known_to_both"} -> {"n", "recall@20", "mrr@20"} as of `bootstrap.difference`, this bundle
                             minus the other, "by_user": the same parts -> metric ->
                             `encoder.metrics.confidence_sequence.mean_of_users` of the differences}
    robustness               None, or see `perturbation.robustness`
    freshness                None, or see `freshness.freshness`
    scenarios                None, or see `scenarios.ranks`
    training                 the manifest's
    seconds                  {"replay": stepping and ranking, "all"}
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.errors import InputError
from encoder.metrics.baselines import Baselines
from encoder.metrics.confidence_sequence import mean_of_users
from encoder.metrics.leakage import find_leak
from encoder.metrics.ranking import mrr, recall
from export.evaluation.bootstrap import NAMES, K, difference, gains
from export.evaluation.freshness import freshness
from export.evaluation.heads import HeadOutputs, HeadScores, head_metrics
from export.evaluation.perturbation import robustness
from export.evaluation.queries import masked_ranks, predictions, ranks
from export.evaluation.recommendation_lists import calibration, describe_lists, draw_lists
from export.evaluation.scenarios.ranks import scenario_metrics
from export.evaluation.scored_events import ScoredEvents
from export.evaluation.slices import slices, summary, summary_by_history
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper

Ranks = NDArray[np.int64]


class RankedEvents(NamedTuple):
    """The scored events, and what the bundle's predict graph gives for them."""

    bundle: Bundle
    stepper: Stepper
    scored: ScoredEvents
    ranks: Ranks  # (m,)
    outputs: HeadOutputs


def evaluate_bundle(
    bundle: Bundle,
    log: EventLog,
    history: EventLog | None = None,
    *,
    compare: Bundle | None = None,
    are_last: bool = False,
    is_robustness_wanted: bool = False,
    is_freshness_wanted: bool = False,
    new_days: float | None = None,
    threads: int = 1,
    on_progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Score every event of `log`. The module's docstring describes the result.

    compare: a second bundle for the same events. are_last: `log` holds each user's last event, and `history` has the
    others. new_days: judge scenarios, where an item is new for so many days; None: no scenarios. on_progress: is told
    what is computed next. Raises InputError where an event of `history` is later than a
    scored event of its user, and where no scored event has an item of a bundle's catalogue.
    """
    began_s = time.perf_counter()
    stepper, scored = Stepper(bundle, threads), _scored_events(bundle, log, history)
    on_progress("ranking every event before it is stepped")
    live, outputs = predict_events(bundle, stepper, scored)
    replayed_s = time.perf_counter()
    on_progress("coverage, slices and intervals")
    ranked = RankedEvents(bundle, stepper, scored, live, outputs)
    result = _metrics(ranked, log, history, are_last)
    if compare is not None:
        on_progress(f"the same events under {compare.bundle_id}")
        result["compare"] = _comparison(ranked, compare, log, history, threads)
        result["compare"]["leak"] = find_leak(log, compare.manifest.training.get("data", {}), are_last=are_last)

    def ranks_of(sequences: Sequences, seen: NDArray[np.int64]) -> Ranks:
        return ranks(bundle, stepper, sequences, scored.user, seen, scored.item)

    if is_robustness_wanted:
        result["robustness"] = robustness(scored, live, ranks_of, bundle.manifest.items, on_progress)
    if is_freshness_wanted:
        on_progress("states frozen an hour, a day, a week ago")
        result["freshness"] = freshness(scored, live, lambda seen: ranks_of(scored.sequences, seen))
    if new_days is not None:
        on_progress("hybrid scores in scenarios")
        result["scenarios"] = scenario_metrics(bundle, stepper, scored, history, new_days)
    seconds = {"replay": replayed_s - began_s, "all": time.perf_counter() - began_s}
    result["seconds"] = {name: round(value, 2) for name, value in seconds.items()}
    # JSON cannot hold a value that is not a number. Encoding and decoding turns it into None.
    built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(result))
    return built


def _scored_events(bundle: Bundle, log: EventLog, history: EventLog | None) -> ScoredEvents:
    """The events as the bundle sees them. Raises InputError where the bundle knows no item of them."""
    scored = ScoredEvents.from_logs(log, bundle.vocabulary, history)
    if len(scored.item) and not scored.item.any():
        example = log.item_ids[int(log.item[0])]
        raise InputError(
            f"none of the {len(scored.item):,} scored events has an item of {bundle.bundle_id}, and the first has item "
            f"{example!r}: every figure would be 0; check that the log and the bundle belong together"
        )
    return scored


def predict_events(bundle: Bundle, stepper: Stepper, scored: ScoredEvents) -> tuple[Ranks, HeadOutputs]:
    """(m,) ranks of the scored events, and the outputs of the heads before and after each of them.

    A user's scored events are the user's last events. So the output after an event is the output before the next one.
    With one further pair for each user, after all events, one pass is enough.
    """
    count, users = len(scored.target), len(scored.user_ids)
    user = np.concatenate([scored.user, np.arange(users)])
    seen = np.concatenate([scored.steps, scored.sequences.lengths])
    item = np.concatenate([scored.item, np.zeros(users, np.int64)])
    order = np.argsort(user, kind="stable")
    found = predictions(bundle, stepper, scored.sequences, user[order], seen[order], item[order])
    at = np.flatnonzero(order < count)
    outputs = HeadOutputs(found.action_probability[at], found.time_mixture[at], found.time_mixture[at + 1])
    return found.rank[at].astype(np.int64), outputs


def _metrics(ranked: RankedEvents, log: EventLog, history: EventLog | None, are_last: bool) -> dict[str, Any]:
    """The result of `evaluate_bundle`, where the parts that are computed only on request are None."""
    bundle, stepper, scored = ranked.bundle, ranked.stepper, ranked.scored
    manifest, in_history = bundle.manifest, scored.sequences.row < 0
    baselines = None
    if history is not None:
        baselines = Baselines.from_sequences(Sequences.from_log(history, bundle.vocabulary), manifest.items)
    popularity = None if baselines is None else baselines.popularity
    masked, drawn = masked_ranks(bundle, stepper, scored, ranked.ranks), draw_lists(bundle, stepper, scored)
    heads = _heads(ranked) if manifest.heads else None
    if heads is not None and are_last:
        heads |= {"churn": {}, "log_days": None}
    return {
        "bundle_id": bundle.bundle_id,
        "catalogue": manifest.items,
        "events": len(log),
        "users": len(scored.user_ids),
        "history": {"events": int(in_history.sum()), "users": len(np.unique(scored.event_user[in_history]))},
        "scored": "last" if are_last else "all",
        "leak": find_leak(log, manifest.training.get("data", {}), are_last=are_last),
        "metrics": summary_by_history(scored, ranked.ranks),
        "masked": summary_by_history(scored, masked),
        "baselines": None if baselines is None else _baseline_metrics(baselines, scored),
        "lists": describe_lists(bundle, scored, drawn, popularity),
        "calibration": calibration(scored, drawn),
        "slices": _slices(ranked, baselines),
        "heads": heads,
        "compare": None,
        "robustness": None,
        "freshness": None,
        "scenarios": None,
        "training": {**manifest.training, "metrics": manifest.metrics},
    }


def _heads(ranked: RankedEvents) -> dict[str, Any]:
    actions, offset_of = ranked.bundle.vocabulary.actions, ranked.bundle.manifest.action_offsets
    offsets = [offset_of[name] for name in actions] if offset_of else None
    return head_metrics(ranked.scored, ranked.outputs, actions, offsets)


def _slices(ranked: RankedEvents, baselines: Baselines | None) -> dict[str, Any]:
    bundle, scored = ranked.bundle, ranked.scored
    scores = HeadScores.from_outputs(scored, ranked.outputs) if bundle.manifest.heads else None
    popularity = None if baselines is None else baselines.popularity_ranks(scored.item)
    groups: dict[str, Any] = {}
    for group, label, mask in slices(scored, bundle.vocabulary.actions, bundle.manifest.items):
        metrics = summary(ranked.ranks[mask], scored.user[mask])
        if popularity is not None:
            metrics["popularity"] = {f"recall@{K}": recall(popularity[mask], K), f"mrr@{K}": mrr(popularity[mask], K)}
        if scores is not None:
            metrics |= scores.means(mask)
        groups.setdefault(group, {})[label] = metrics
    return groups


def _baseline_metrics(baselines: Baselines, scored: ScoredEvents) -> dict[str, Any]:
    previous = scored.sequences.previous_item()[scored.target]
    return {
        "popularity": summary_by_history(scored, baselines.popularity_ranks(scored.item)),
        "last_item": summary_by_history(scored, baselines.last_item_ranks(previous, scored.item)),
    }


def _comparison(
    ranked: RankedEvents, other: Bundle, log: EventLog, history: EventLog | None, threads: int
) -> dict[str, Any]:
    scored, live = ranked.scored, ranked.ranks
    theirs = _scored_events(other, log, history)  # the same events in the same order
    other_ranks = ranks(other, Stepper(other, threads), theirs.sequences, theirs.user, theirs.steps, theirs.item)
    parts = {
        "all": np.ones(len(live), bool),
        "warm": scored.steps > 0,
        "known_to_both": (scored.item > 0) & (theirs.item > 0),
    }
    return {
        "bundle_id": other.bundle_id,
        "catalogue": other.manifest.items,
        "metrics": summary_by_history(theirs, other_ranks),
        "difference": {
            name: {"n": int(mask.sum()), **difference(scored.user[mask], live[mask], other_ranks[mask])}
            for name, mask in parts.items()
        },
        "by_user": {
            part: {
                name: mean_of_users(scored.user[mask], values)
                for name, values in zip(NAMES, (gains(live[mask]) - gains(other_ranks[mask])).T, strict=True)
            }
            for part, mask in parts.items()
        },
    }

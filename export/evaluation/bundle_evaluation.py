"""The whole evaluation of a bundle over a log, as one object.

Every event's item is ranked over the bundle's whole catalogue under the representation before the event, ties against
the model, an item outside the catalogue is a miss, users start without history or with that of a history log. That is
what a worker does with the same events, so its figures are the same.

    bundle_id, catalogue     the model and its number of items
    events, users            scored
    history                  {"events", "users"} of the scored users that were stepped first
    leak                     see `encoder.metrics.leakage.find_leak`
    metrics                  {"all", "warm": with history, which is what the monitor scores, "cold"} -> `slices.summary`
    baselines                {"popularity", "last_item"} -> {"all", "warm", "cold"} -> summary, as counted in the whole
                             history log; None without one
    lists                    see `lists.describe_lists`
    slices                   group -> label -> summary, with "popularity": {"recall@20", "mrr@20"} where a history log
                             was counted, and "action_accuracy" and "time_log_likelihood" where there are heads
    heads                    None without heads, or see `heads.head_metrics`
    compare                  None, or {"bundle_id", "catalogue", "leak", "metrics", "difference": {"all", "warm",
                             "known_to_both"} -> {"n", "recall@20", "mrr@20"} as of `bootstrap.difference`, this bundle
                             less that}
    robustness               None, or kind -> share ("0" is clean) -> {"n", "recall@20", "mrr@20"} of users with
                             history; see `perturbation`
    freshness                None, or see `freshness.freshness`
    training                 the manifest's
    seconds                  {"replay": stepping and ranking, "all"}
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.metrics.baselines import Baselines
from encoder.metrics.leakage import find_leak
from encoder.metrics.ranking import mrr, recall
from export.evaluation.bootstrap import K, difference
from export.evaluation.freshness import freshness
from export.evaluation.heads import Foreseen, HeadScores, head_metrics
from export.evaluation.perturbation import PERTURBATIONS, SHARES, perturb
from export.evaluation.recommendation_lists import describe_lists
from export.evaluation.representations import predictions, ranks
from export.evaluation.scored_events import Indices, ScoredEvents
from export.evaluation.slices import slices, summary
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper

Ranks = NDArray[np.int64]
Say = Callable[[str], None]  # told what is computed now


def evaluate_bundle(
    bundle: Bundle,
    log: EventLog,
    history: EventLog | None = None,
    *,
    compare: Bundle | None = None,
    is_robustness_wanted: bool = False,
    is_freshness_wanted: bool = False,
    threads: int = 1,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Score every event of `log`. Raises InputError where `history` is not earlier. See the module for the result."""
    began = time.perf_counter()
    stepper = Stepper(bundle, threads)
    scored = ScoredEvents.of(log, bundle.vocabulary, history)
    counts = (
        None
        if history is None
        else Baselines.from_sequences(Sequences.from_log(history, bundle.vocabulary), bundle.manifest.items)
    )

    def ranks_of(sequences: Sequences, seen: Indices) -> Ranks:
        return ranks(bundle, stepper, sequences, scored.users, seen, scored.item)

    say("ranking every event before it is stepped")
    live, foreseen = predicted(bundle, stepper, scored)
    replayed = time.perf_counter()
    say("coverage, slices and intervals")
    in_history = scored.sequences.row < 0
    result: dict[str, Any] = {
        "bundle_id": bundle.bundle_id,
        "catalogue": bundle.manifest.items,
        "events": len(log),
        "users": len(scored.user_ids),
        "history": {"events": int(in_history.sum()), "users": len(np.unique(scored.user[in_history]))},
        "leak": find_leak(log, bundle.manifest.training.get("data", {})),
        "metrics": _parts(scored, live),
        "baselines": None if counts is None else _baselines(counts, scored),
        "lists": describe_lists(bundle, stepper, scored, None if counts is None else counts.popularity),
        "slices": _slices(bundle, scored, live, foreseen, counts),
        "heads": head_metrics(scored, foreseen, bundle.vocabulary.actions) if bundle.manifest.heads else None,
        "compare": None,
        "robustness": None,
        "freshness": None,
        "training": {**bundle.manifest.training, "metrics": bundle.manifest.metrics},
    }
    if compare is not None:
        say(f"the same events under {compare.bundle_id}")
        result["compare"] = _comparison(scored, live, compare, log, history, threads)
    if is_robustness_wanted:
        result["robustness"] = _robustness(scored, live, ranks_of, bundle.manifest.items, say)
    if is_freshness_wanted:
        say("states frozen an hour, a day, a week ago")
        result["freshness"] = freshness(scored, live, lambda seen: ranks_of(scored.sequences, seen))
    seconds = {"replay": round(replayed - began, 2), "all": round(time.perf_counter() - began, 2)}
    # What is not a number has no place in JSON: null.
    built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode({**result, "seconds": seconds}))
    return built


def _slices(
    bundle: Bundle, scored: ScoredEvents, live: Ranks, foreseen: Foreseen, counts: Baselines | None
) -> dict[str, Any]:
    heads = HeadScores.of(scored, foreseen) if bundle.manifest.heads else None
    popularity = None if counts is None else counts.popularity_ranks(scored.item)
    found: dict[str, Any] = {}
    for group, label, mask in slices(scored, bundle.vocabulary.actions, bundle.manifest.items):
        of = summary(live[mask], scored.users[mask])
        if popularity is not None:
            of["popularity"] = {f"recall@{K}": recall(popularity[mask], K), f"mrr@{K}": mrr(popularity[mask], K)}
        if heads is not None:
            of |= heads.means(mask)
        found.setdefault(group, {})[label] = of
    return found


def predicted(bundle: Bundle, stepper: Stepper, scored: ScoredEvents) -> tuple[Ranks, Foreseen]:
    """(m,) ranks of the scored events, and what the heads say before and after each of them.

    A user's scored events are its last ones, so what is said after one is said before the next: one further pair a
    user, after all of its events, and everything is known from one pass.
    """
    count, users = len(scored.target), len(scored.user_ids)
    user = np.concatenate([scored.users, np.arange(users)])
    seen = np.concatenate([scored.steps, scored.sequences.lengths])
    item = np.concatenate([scored.item, np.zeros(users, np.int64)])
    order = np.argsort(user, kind="stable")
    found, action, time_mixture = predictions(bundle, stepper, scored.sequences, user[order], seen[order], item[order])
    at = np.flatnonzero(order < count)
    return found[at], Foreseen(action[at], time_mixture[at], time_mixture[at + 1])


def _parts(scored: ScoredEvents, found: Ranks) -> dict[str, Any]:
    user, warm = scored.users, scored.steps > 0
    return {
        "all": summary(found, user),
        "warm": summary(found[warm], user[warm]),
        "cold": summary(found[~warm], user[~warm]),
    }


def _baselines(counts: Baselines, scored: ScoredEvents) -> dict[str, Any]:
    previous = scored.sequences.previous_item()[scored.target]
    return {
        "popularity": _parts(scored, counts.popularity_ranks(scored.item)),
        "last_item": _parts(scored, counts.last_item_ranks(previous, scored.item)),
    }


def _comparison(
    scored: ScoredEvents, live: Ranks, other: Bundle, log: EventLog, history: EventLog | None, threads: int
) -> dict[str, Any]:
    theirs = ScoredEvents.of(log, other.vocabulary, history)  # the same events in the same order, other indices
    found = ranks(other, Stepper(other, threads), theirs.sequences, theirs.users, theirs.steps, theirs.item)
    parts = {
        "all": np.ones(len(live), bool),
        "warm": scored.steps > 0,
        "known_to_both": (scored.item > 0) & (theirs.item > 0),
    }
    return {
        "bundle_id": other.bundle_id,
        "catalogue": other.manifest.items,
        "leak": find_leak(log, other.manifest.training.get("data", {})),
        "metrics": _parts(theirs, found),
        "difference": {
            name: {"n": int(mask.sum()), **difference(scored.users[mask], live[mask], found[mask])}
            for name, mask in parts.items()
        },
    }


def _robustness(
    scored: ScoredEvents, live: Ranks, ranks_of: Callable[[Sequences, Indices], Ranks], items: int, say: Say
) -> dict[str, Any]:
    warm = scored.steps > 0

    def point(found: Ranks) -> dict[str, Any]:
        kept = found[warm]
        return {
            "n": len(kept),
            f"recall@{K}": recall(kept, K) if len(kept) else None,
            f"mrr@{K}": mrr(kept, K) if len(kept) else None,
        }

    curves: dict[str, Any] = {}
    for kind in PERTURBATIONS:
        curves[kind] = {"0": point(live)}
        for share in SHARES:
            say(f"{share:.0%} of the history {kind}")
            perturbed = perturb(scored, kind, share, items)
            curves[kind][f"{share:g}"] = point(ranks_of(perturbed.sequences, perturbed.seen))
    return curves

"""The lists that a model recommends: what they hold, and how sure their scores are."""

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.averages import mean
from encoder.metrics.recommendation_lists import diversity, hits_of_next_events, self_information
from encoder.metrics.reliability import reliability
from export.evaluation.queries import queries
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper

K = 20
LISTS = 20_000  # at most; a list costs about as much as a rank
NEXT_EVENTS = 10  # of the user, for hits of several items
TILE_SCORES = 4_000_000  # in memory at a time
TILE_LISTS = 2_000  # whose item vectors are in memory at a time
SEED = 0


class Lists(NamedTuple):
    """The exact top k before m scored events, and the probabilities that the scores give as logits of a softmax."""

    item: NDArray[np.int64]  # (m, k) indices, in no order
    probability: NDArray[np.float32]  # (m, k) of each item as the next one among the whole catalogue
    actual_log_probability: NDArray[np.float32]  # (m,) log probability of the actual item, 0 for item 0


class DrawnLists(NamedTuple):
    """The lists before some of the scored events, which are drawn at random with a fixed seed."""

    chosen: NDArray[np.int64]  # (m,) which scored events, ascending
    lists: Lists
    seconds: float


def draw_lists(bundle: Bundle, stepper: Stepper, scored: ScoredEvents) -> DrawnLists:
    """The lists before all scored events, or before LISTS of them."""
    began_s = time.perf_counter()
    chosen = np.arange(len(scored.target))
    if len(chosen) > LISTS:
        chosen = np.sort(np.random.default_rng(SEED).choice(chosen, LISTS, replace=False))
    user, seen, item = scored.user[chosen], scored.steps[chosen], scored.item[chosen]
    parts = [
        top_lists(bundle, query, item[pairs]) for pairs, query in queries(bundle, stepper, scored.sequences, user, seen)
    ]
    lists = Lists(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return DrawnLists(chosen, lists, round(time.perf_counter() - began_s, 2))


def top_lists(bundle: Bundle, query: NDArray[np.float32], item: NDArray[np.int64], k: int = K) -> Lists:
    """(m, Q) queries and (m,) actual items, m > 0 -> the lists of the min(k, N) best items."""
    items = bundle.manifest.items
    k = min(k, items)
    rows = max(1, TILE_SCORES // items)
    parts = []
    for begin in range(0, len(query), rows):
        scores = bundle.scores(query[begin : begin + rows])
        best = np.argpartition(scores, items - k, axis=1)[:, -k:]
        actual = item[begin : begin + rows]
        actual_score = scores[np.arange(len(actual)), np.maximum(actual, 1) - 1]
        best_scores = np.take_along_axis(scores, best, axis=1)
        largest = best_scores.max(axis=1, keepdims=True)
        np.exp(np.subtract(scores, largest, out=scores), out=scores)
        log_sum = largest[:, 0] + np.log(scores.sum(axis=1))
        log_probability = np.where(actual > 0, actual_score - log_sum, np.float32(0))
        parts.append(Lists(best + 1, np.exp(best_scores - log_sum[:, None]), log_probability))
    return Lists(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def describe_lists(
    bundle: Bundle, scored: ScoredEvents, drawn: DrawnLists, popularity: NDArray[np.int64] | None
) -> dict[str, Any]:
    """Describe the drawn lists, which hold k items each.

    popularity: (N + 1,) number of events by item index, None without such counts.

        lists, events, seconds    number of lists, of scored events from which they are drawn, and the time for them
        coverage                  share of the catalogue that is in at least one list
        percentile_recommended    mean place in the order of training events, from 0 (least popular) to 1 (most popular)
        percentile_actual         the same for the actual items of the events
        arp_recommended           mean number of events of an item (average recommendation popularity), None without
                                  `popularity`
        arp_actual                the same for the actual items of the events
        novelty_recommended       mean self-information of an item by `popularity`, in bits, or None
        novelty_actual            the same for the actual items of the events
        diversity                 mean over lists of the mean of 1 - cosine over pairs of the list's item vectors
        next_events               {"events", "precision@20", "recall@20", "f1@20"}: the list against the distinct items
                                  of the event and the user's next events, NEXT_EVENTS together. With h hits among r
                                  items, precision is h / k, recall h / r and F1 2 h / (k + r), each a mean over lists
    """
    items, (chosen, lists, seconds) = bundle.manifest.items, drawn
    recommended = np.bincount(lists.item.ravel(), minlength=items + 1)  # number of lists with each item
    actual = np.bincount(scored.item[chosen], minlength=items + 1)
    actual[0] = 0  # outside the catalogue
    percentile = 1 - (np.arange(items + 1) - 1) / max(1, items - 1)
    figures: dict[str, Any] = {
        "lists": len(chosen),
        "events": len(scored.target),
        "seconds": seconds,
        "coverage": float((recommended > 0).sum() / max(1, items)),
        "percentile_recommended": _weighted_mean(percentile, recommended),
        "percentile_actual": _weighted_mean(percentile, actual),
    }
    novelty = None if popularity is None else np.append(0, self_information(popularity[1:]))
    for name, values in (("arp", popularity), ("novelty", novelty)):
        for of, counts in (("recommended", recommended), ("actual", actual)):
            figures[f"{name}_{of}"] = None if values is None else _weighted_mean(values, counts)
    return {
        **figures,
        "diversity": _mean_diversity(bundle, lists.item),
        "next_events": _next_events(scored, chosen, lists.item),
    }


def calibration(scored: ScoredEvents, drawn: DrawnLists) -> dict[str, Any]:
    """Compare the probabilities of the listed items with which of them came.

    A probability is the softmax of the scores over the whole catalogue. So it is the probability of an item if the next
    item is one of the catalogue.

        all, known      `reliability` of each item of each list, of all events and of events with a known item
        whole_list      {"probability": mean of the sum over a list, "came": share of lists with the actual item} of
                        events with a known item
        next_item       {"n", "log_loss": mean of -log of the probability of the actual item, in nats, "probability":
                        mean of this probability} of events with a known item
    """
    item = scored.item[drawn.chosen]
    known, lists = item > 0, drawn.lists
    came = lists.item == item[:, None]
    log_probability = lists.actual_log_probability[known].astype(np.float64)
    return {
        "all": reliability(lists.probability.ravel(), came.ravel()),
        "known": reliability(lists.probability[known].ravel(), came[known].ravel()),
        "whole_list": {
            "probability": mean(lists.probability[known].sum(axis=1)),
            "came": mean(came[known].any(axis=1)),
        },
        "next_item": {
            "n": int(known.sum()),
            "log_loss": mean(-log_probability),
            "probability": mean(np.exp(log_probability)),
        },
    }


def _mean_diversity(bundle: Bundle, item: NDArray[np.int64]) -> float | None:
    """item: (m, k). None where a list has a single item."""
    if item.shape[1] < 2:
        return None
    tiles = [item[begin : begin + TILE_LISTS] for begin in range(0, len(item), TILE_LISTS)]
    return mean(np.concatenate([diversity(bundle.item_vectors[tile]) for tile in tiles]))


def _next_events(scored: ScoredEvents, chosen: NDArray[np.int64], item: NDArray[np.int64]) -> dict[str, Any]:
    """The figures of `next_events` in `describe_lists`. item: (m, k) of the lists before the m chosen events."""
    sequences = scored.sequences
    position = scored.target[chosen][:, None] + np.arange(NEXT_EVENTS)
    follows = position < sequences.starts[scored.user[chosen] + 1][:, None]
    following = np.where(follows, sequences.item[np.minimum(position, len(sequences.item) - 1)], -1)
    hits, relevant = hits_of_next_events(item, following)
    k = item.shape[1]
    return {
        "events": NEXT_EVENTS,
        f"precision@{K}": mean(hits / k),
        f"recall@{K}": mean(hits / relevant),
        f"f1@{K}": mean(2 * hits / (k + relevant)),
    }


def _weighted_mean(values: NDArray[Any], weights: NDArray[np.int64]) -> float | None:
    """The mean of the values with these weights; None where all weights are 0."""
    return float(values @ weights / weights.sum()) if weights.sum() else None

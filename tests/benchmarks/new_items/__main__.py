"""How well a model ranks items that are not in its training part, by their content, and what content adds otherwise.

`python -m tests.benchmarks.new_items [LOG --format FORMAT] [--seeds N] [--ablation]` prints one JSON object. Without
LOG, it uses a log of the simulator. A fifth of the items is withheld: the model is trained on the first 70% of the log
without the events of these items. Then the catalogue is extended by all items of the log, and the events of the
withheld items in the last 30% are ranked over the whole catalogue. Ties count against the model, and users start
without history. The model is compared with four rankings: by popularity, which ranks all withheld items last; in random
order of the items without training events; by the popularity of an item's category and brand; and the user's last item
first, then items that share its category and brand.

With `--item-embeddings`, it trains with content alone, with item embeddings alone, and with both, and also without
withholding items. The simulator gives
embeddings of texts and of pictures. Items of another log have embeddings of the words of their category and brand:
see `tests.benchmarks.new_items.text_embeddings`. `--validation` uses the first 70% of the log alone, so that settings
can be chosen.

With `--ablation`, it prints metrics on the validation part (the last tenth of the first 70%) with and without content
and hours.
"""

import argparse
import json
import sys
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import item_features, known_features
from encoder.data.features import BRAND, CATEGORY, ITEM_FEATURES, TIME, Features
from encoder.data.loaders import FORMATS, load_log
from encoder.data.sequences import Sequences
from encoder.data.simulator import Shop, describe
from encoder.data.vocabulary import Vocabulary
from encoder.item_embeddings.embeddings import ItemEmbeddings
from encoder.metrics.baselines import Baselines
from encoder.metrics.ranking import ranking_metrics
from encoder.model.new_items import extend_catalogue
from encoder.training.evaluation import model_ranks
from encoder.training.initialization import FromScratch
from encoder.training.settings import TrainingSettings
from encoder.training.train import train
from tests.benchmarks.new_items.text_embeddings import category_texts, text_embeddings

TRAINED = 0.7
WITHHELD = 0.2
SIMULATED = {"seed": 7, "items": 2_000, "users": 3_000}

ABLATION: dict[str, tuple[bool, tuple[str, ...]]] = {
    "id": (False, ()),
    "id and hour of the week": (True, ()),
    "id and content": (False, ITEM_FEATURES),
    "id, content and hour of the week": (True, ITEM_FEATURES),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", nargs="?", help="event log (default: 100,000 events of the simulator)")
    parser.add_argument("--format", choices=sorted(FORMATS))
    parser.add_argument("--events", type=int, default=100_000, help="number of events of the simulator")
    parser.add_argument("--epochs", type=int, default=TrainingSettings().max_epochs)
    parser.add_argument("--seeds", type=int, default=1, help="choices of withheld items and of weights to average over")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--item-embeddings", action="store_true")
    parser.add_argument("--validation", action="store_true", help="score the end of the first 70%% of the log")
    args = parser.parse_args()
    torch.set_num_threads(1)
    log = load_log(args.log, args.format)[0] if args.log else Shop(**SIMULATED).simulate(args.events)
    embeddings = (text_embeddings(category_texts(log)),) if args.log else simulated_embeddings()
    if args.validation:
        log = log.split(TRAINED)[0]
    settings = TrainingSettings(max_epochs=args.epochs)
    if args.ablation:
        result = ablation(log, settings, args.seeds)
    elif args.item_embeddings:
        result = with_embeddings(log, settings, args.seeds, embeddings)
    else:
        result = new_items(log, settings, args.seeds)
    print(json.dumps(result, indent=2))
    return 0


def simulated_embeddings() -> tuple[ItemEmbeddings, ...]:
    """Return the embeddings of the simulated texts and pictures."""
    shop = Shop(**SIMULATED)
    descriptions, items = describe(shop.catalogue, shop.seed), shop.item_ids
    return (
        ItemEmbeddings("picture", items, descriptions.picture_vectors),
        ItemEmbeddings("text", items, descriptions.text_vectors),
    )


def with_embeddings(
    log: EventLog, settings: TrainingSettings, seeds: int, embeddings: tuple[ItemEmbeddings, ...]
) -> dict[str, Any]:
    """Return the mean metrics of the model with content alone, with embeddings alone, and with both."""
    found = {}
    for name, (content, sources) in {
        "content": (ITEM_FEATURES, ()),
        "embeddings": ((), embeddings),
        "content and embeddings": (ITEM_FEATURES, embeddings),
    }.items():
        chosen = msgspec.structs.replace(settings, content=content)
        runs = [withheld(log, msgspec.structs.replace(chosen, seed=seed), sources) for seed in range(seeds)]
        mean = _mean(runs)
        found[name] = {group: mean[group]["model"] for group in mean if isinstance(mean[group], dict)}
        whole = [ordinary(log, msgspec.structs.replace(chosen, seed=seed), sources) for seed in range(seeds)]
        found[name]["nothing_withheld"] = _mean(whole)
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def ablation(log: EventLog, settings: TrainingSettings, seeds: int) -> dict[str, Any]:
    """Return the validation metrics for each set of features, as means over seeds."""
    fit = log.split(TRAINED)[0]
    found = {}
    is_week = TIME in known_features(fit, Vocabulary.from_log(fit, settings.min_support))
    for name, (week_hours, content) in ABLATION.items():
        if week_hours and not is_week:
            continue
        runs = []
        for seed in range(seeds):
            chosen = msgspec.structs.replace(settings, week_hours=week_hours, content=content, seed=seed)
            runs.append(train(fit, chosen).metrics)
        found[name] = {key: round(float(np.mean([run[key] for run in runs])), 4) for key in ("recall@20", "mrr@20")}
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def new_items(log: EventLog, settings: TrainingSettings, seeds: int) -> dict[str, Any]:
    """Return all runs, their means, and the model's mean recall as a multiple of that of other rankings."""
    runs = [withheld(log, msgspec.structs.replace(settings, seed=seed)) for seed in range(seeds)]
    mean = _mean(runs)
    recall_of = {by: metrics["recall@20"] for by, metrics in mean["withheld_items"].items()}
    recall_of["random_among_new"] = mean["random_among_new_recall@20"]
    others = ("category_popularity", "random_among_new", "like_last_item")
    factors = {by: round(recall_of["model"] / recall_of[by], 2) for by in others}
    return {"recall@20_of_withheld_items_over_that_of": factors, "mean": mean, "runs": runs}


def ordinary(log: EventLog, settings: TrainingSettings, embeddings: tuple[ItemEmbeddings, ...]) -> dict[str, float]:
    """Withhold nothing, train, and return metrics of the known items among all known items, for users with history."""
    first, test = log.split(TRAINED)
    trained = train(first, settings, initialization=FromScratch(embeddings))
    sequences = Sequences.from_log(test, trained.vocabulary)
    return _metrics(model_ranks(trained.model, sequences, (sequences.item > 0) & (sequences.history_lengths() > 0)))


def withheld(log: EventLog, settings: TrainingSettings, embeddings: tuple[ItemEmbeddings, ...] = ()) -> dict[str, Any]:
    """Withhold one choice of items, train, and return metrics of ranks over the catalogue of all items of the log."""
    random = np.random.default_rng(settings.seed)
    items = np.unique(log.item)
    hidden = random.choice(items, int(WITHHELD * len(items)), replace=False)
    first, test = log.split(TRAINED)
    trained = train(first[~np.isin(first.item, hidden)], settings, initialization=FromScratch(embeddings))
    model, vocabulary = extend_catalogue(trained.model, trained.vocabulary, log, embeddings)
    sequences = Sequences.from_log(test, vocabulary)
    item = sequences.item
    is_hidden = np.isin(test.item[sequences.row], hidden)
    is_known = (item > 0) & (item <= len(trained.vocabulary.items))
    counts = np.zeros(len(vocabulary.items) + 1, np.int64)
    counts[: len(trained.baselines.popularity)] = trained.baselines.popularity
    popularity = Baselines(counts, trained.baselines.pairs, trained.baselines.pair_counts)
    ranks = {
        "model": model_ranks(model, sequences),
        "popularity": popularity.popularity_ranks(item),
        "category_popularity": _by_category(item_features(log, vocabulary), counts, item, random),
        "like_last_item": _like_last(item_features(log, vocabulary), sequences, random),
    }
    is_first = sequences.history_lengths() == 0
    new = int((counts[1:] == 0).sum())
    return {
        "catalogue": len(vocabulary.items),
        "trained_items": len(trained.vocabulary.items),
        "without_training_events": new,
        "random_among_new_recall@20": round(20 / new, 4),
        "withheld_items": {by: _metrics(of[is_hidden]) for by, of in ranks.items()},
        "withheld_items_with_history": {by: _metrics(of[is_hidden & ~is_first]) for by, of in ranks.items()},
        "trained_items_with_history": {by: _metrics(of[is_known & ~is_first]) for by, of in ranks.items()},
    }


def _by_category(
    features: Features, counts: NDArray[np.int64], item: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return ranks, (n,) int64, by the mean training events of items of the same category and brand.

    Items with equal means are in random order.
    """
    group = np.unique(features[CATEGORY] * 100_003 + features[BRAND], return_inverse=True)[1]
    trained = counts > 0
    total = np.bincount(group, weights=counts)
    size = np.maximum(1, np.bincount(group, weights=trained))
    score = (total / size)[group]
    order = np.lexsort((random.random(len(score)), -score))
    order = order[order > 0]
    rank = np.zeros(len(score), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return rank[item]


def _like_last(features: Features, sequences: Sequences, random: np.random.Generator) -> NDArray[np.int64]:
    """Return ranks, (n,) int64, by likeness to the user's last item.

    The order is the item itself, then items of the same category and brand, of the category, and of the brand. Items
    of equal likeness are in random order.
    """
    category, brand = features[CATEGORY], features[BRAND]
    previous = np.maximum(sequences.previous_item(), 0)
    ranks = np.zeros(len(previous), np.int64)
    for event, (last, item) in enumerate(zip(previous.tolist(), sequences.item.tolist(), strict=True)):
        score = 2.0 * ((category == category[last]) & (category > 0)) + ((brand == brand[last]) & (brand > 0))
        score[last] = 4
        score[0] = -1
        ranks[event] = (score > score[item]).sum() + random.integers(1, (score == score[item]).sum() + 1)
    return ranks


def _metrics(ranks: NDArray[np.int64]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in ranking_metrics(ranks).items()}


def _mean(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        key: _mean([run[key] for run in runs])
        if isinstance(value, dict)
        else round(float(np.mean([run[key] for run in runs])), 4)
        for key, value in runs[0].items()
    }


if __name__ == "__main__":
    sys.exit(main())

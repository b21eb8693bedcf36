"""Tries weights of hybrid scores on the validation parts of public logs: docs/decisions.md#hybrid-scores.

`python -m tests.tools.hybrid_weights --data DIR`, where DIR holds the logs of `tests.benchmarks.quality`. A model is
trained on the first part of a training part, with the default settings. The rest of the training part is scored. With
`--catalogue`, the model also knows the items of the rest by their content, as `thalweg export --items` adds them.
Prints Recall@20, MRR@20 and NDCG@20 of the scenario for each pair of weights.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from encoder.data.sequences import Sequences
from encoder.metrics.baselines import Baselines
from encoder.metrics.hybrid.scores import HybridWeights
from encoder.metrics.ranking import ranking_metrics
from encoder.model.new_items import extend_catalogue
from encoder.training.settings import TrainingSettings
from encoder.training.train import train
from export.evaluation.scenarios.cases import first_times_ms, make_cases
from export.evaluation.scenarios.ranks import ranks_of_cases
from export.evaluation.scored_events import ScoredEvents
from export.exporter import export_model
from export.runtime.stepper import Stepper
from tests.benchmarks.quality import DATASETS

CO, CONTENT = (0.0, 1.0, 2.0, 4.0, 8.0), (0.0, 1.0, 2.0, 4.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.hybrid_weights", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", choices=("rees46", "yoochoose"), default="rees46")
    parser.add_argument("--scenario", choices=("home", "to_the_user", "cart", "new"), action="append")
    parser.add_argument("--catalogue", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    training, stepped, _ = DATASETS[args.dataset](args.data, True)
    trained = train(training, TrainingSettings())
    model, vocabulary = trained.model, trained.vocabulary
    if args.catalogue:
        model, vocabulary = extend_catalogue(model, vocabulary, stepped)
    items = len(vocabulary.items)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_model(model, vocabulary, Path(folder) / "b", companions=trained.companions.widened(items))
        stepper, scored = Stepper(bundle), ScoredEvents.from_logs(stepped, vocabulary, training)
        popularity = Baselines.from_sequences(Sequences.from_log(training, vocabulary), items).popularity
        times = [(vocabulary.item_index(log), log.time_ms) for log in (training, stepped)]
        cases = make_cases(scored, vocabulary.actions, first_times_ms(times, items), new_days=0)
        for scenario in args.scenario or ("home", "to_the_user"):
            for content in CONTENT if vocabulary.categories else CONTENT[:1]:
                for co in CO:
                    weights = HybridWeights(co, content)
                    ranks = ranks_of_cases(bundle, stepper, scored, cases[scenario], weights, popularity)
                    found = ranking_metrics(ranks["hybrid"])
                    shown = "  ".join(f"{name} {value:.4f}" for name, value in found.items())
                    print(f"{args.dataset} {scenario}: co {co:g} content {content:g}  {shown}", flush=True)


if __name__ == "__main__":
    main()

"""Measures what Gaussian noise on published vectors costs: Recall@20 and MRR@20 for several epsilons.

`python -m tests.benchmarks.serving.noisy_vectors --bundle DIR --events LOG [--format F] [--rest F]`

Each event of a known item and of a user with history is ranked under the vector before the event, by the vector alone:
the recent items beside a vector would tell the user's items. The vector of a user without history, which belongs to the
bundle, is the origin. Vectors are clipped around it to the median norm, and the noise is that of one release. A reader
may multiply the noisy distance from the origin by signal / (signal + noise) at no cost for the guarantee, which gives
the figures `shrunk`. Prints one JSON object on the last line.
"""

import argparse
import json
import math
import secrets
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.data.loaders import load_log
from encoder.metrics.ranking import mrr, recall
from encoder.privacy.gaussian_mechanism import epsilon_of, mu_of, mu_of_releases, noise_scale
from encoder.privacy.noisy_vectors import KEY_BYTES, clipped, private_vectors
from export.evaluation.queries import queries
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper

EPSILONS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)  # of one release
RELEASES = (10, 100, 1_000)
DELTA = 1e-6
K = 20


class Ranked:
    """The vectors before the scored events, as far as they score, and the ranks that any vectors give."""

    def __init__(self, bundle: Bundle, scored: ScoredEvents) -> None:
        self._stepper = Stepper(bundle)
        is_ranked = (scored.steps > 0) & (scored.item > 0)
        self._item = scored.item[is_ranked]
        self._width = bundle.query_width
        found = [
            query.copy() for _, query in queries(bundle, self._stepper, scored.sequences, scored.user, scored.steps)
        ]
        self.query = np.concatenate(found)[is_ranked]
        self.origin = bundle.initial_representation[: bundle.scoring_width]
        self.vectors = self.query[:, : bundle.scoring_width] - self.origin

    def figures(self, vectors: NDArray[np.float32]) -> dict[str, float]:
        query = np.zeros((len(vectors), self._width), np.float32)
        query[:, : vectors.shape[1]] = vectors + self.origin
        return self.figures_of_queries(query)

    def figures_of_queries(self, query: NDArray[np.float32]) -> dict[str, float]:
        rank = self._stepper.rank(query, self._item)
        return {f"recall@{K}": recall(rank, K), f"mrr@{K}": mrr(rank, K)}


def measure(bundle: Bundle, scored: ScoredEvents) -> dict[str, Any]:
    ranked = Ranked(bundle, scored)
    norm = np.linalg.norm(ranked.vectors, axis=1)
    bound = float(np.median(norm))
    key = secrets.token_bytes(KEY_BYTES)
    names = [f"{at}".encode() for at in range(len(norm))]
    rows: list[dict[str, Any]] = []
    for epsilon in EPSILONS:
        sigma = noise_scale(epsilon, DELTA, 2 * bound)
        began_s = time.process_time()
        noisy = private_vectors(ranked.vectors, bound, sigma, key, names).astype(np.float32)
        noise_us = (time.process_time() - began_s) / len(norm) * 1e6
        signal, noise = bound**2, noisy.shape[1] * sigma**2
        together = {k: epsilon_of(DELTA, mu_of_releases(mu_of(epsilon, DELTA), k)) for k in RELEASES}
        rows.append(
            {
                "epsilon": epsilon,
                "sigma_of_bound": sigma / bound,
                "noise_norm_of_bound": math.sqrt(noise) / bound,
                "noisy": ranked.figures(noisy),
                "shrunk": ranked.figures((noisy * (signal / (signal + noise))).astype(np.float32)),
                "epsilon_of_releases": together,
                "noise_us": noise_us,
            }
        )
    return {
        "bundle_id": bundle.bundle_id,
        "events": len(norm),
        "components": ranked.vectors.shape[1],
        "delta": DELTA,
        "bound": bound,
        "as_served": ranked.figures_of_queries(ranked.query),
        "vector_alone": ranked.figures(ranked.vectors),
        "clipped": ranked.figures(clipped(ranked.vectors, bound)),
        "without_history": ranked.figures(np.zeros_like(ranked.vectors)),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--events", required=True)
    parser.add_argument("--format")
    parser.add_argument("--rest", type=float, help="score the events after this first part; the others are history")
    args = parser.parse_args()
    bundle = Bundle.load(args.bundle)
    log, _ = load_log(args.events, args.format, for_model=True)
    history, log = (None, log) if args.rest is None else log.split(args.rest)
    result = measure(bundle, ScoredEvents.from_logs(log, bundle.vocabulary, history))
    for name in ("as_served", "vector_alone", "clipped", "without_history"):
        print(f"{name:16} {result[name]}")
    for row in result["rows"]:
        print(f"epsilon {row['epsilon']:6g}  {row}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

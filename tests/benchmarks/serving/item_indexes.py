"""Compares indexes of faiss, and of usearch where usearch is installed, on the item vectors of a bundle.

`python -m tests.benchmarks.serving.item_indexes --bundle DIR`. The queries are drawn as by `thalweg serve --check`, and
the recall is that of dot products alone. Times are CPU of this process. Prints one JSON object for each index and
setting. The cells are as many as suit about 300,000 items.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.serve.scoring.expected_users import expected_queries

USERS, BEST = 128, 100
# A description of faiss, and (probes, proposed items) of each search. Cells have exact vectors, so the best items are
# found by a search for these alone.
FACTORIES: dict[str, list[tuple[int, int]]] = {
    "PQ64x4fs": [(0, 1_000), (0, 2_000)],
    "PQ32x4fs": [(0, 2_000)],
    "SQ8": [(0, 500)],
    "IVF632,Flat": [(128, BEST)],
    "IVF2528,Flat": [(512, BEST)],
}
EXPANSIONS = (512, 2_048)  # of usearch
Search = Callable[[NDArray[np.float32]], NDArray[np.int64]]


def faiss_indexes(vectors: NDArray[np.float32]) -> Iterator[tuple[str, float, int, Search]]:
    """Yield a name, the CPU of the build in s, bytes, and a search."""
    for factory, searches in FACTORIES.items():
        began_s = time.process_time()
        index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        index.add(vectors)
        built_s, size = time.process_time() - began_s, len(faiss.serialize_index(index))
        for probes, proposed in searches:
            if probes:
                index.nprobe = probes
            yield (
                f"faiss {factory}, {probes} cells, {proposed} items",
                built_s,
                size,
                lambda query, index=index, proposed=proposed: index.search(query[None], proposed)[1][0],
            )


def usearch_index(vectors: NDArray[np.float32]) -> Iterator[tuple[str, float, int, Search]]:
    """As `faiss_indexes`."""
    from usearch.index import Index

    began_s = time.process_time()
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=128)
    index.add(np.arange(len(vectors)), vectors, threads=1)
    built_s = time.process_time() - began_s
    for expansion in EXPANSIONS:
        index.expansion_search = expansion
        yield (
            f"usearch, {expansion} expanded",
            built_s,
            index.memory_usage,
            lambda query: index.search(query, BEST, threads=1).keys.astype(np.int64),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", required=True, metavar="DIR")
    bundle = Bundle.load(parser.parse_args().bundle)
    width = bundle.scoring_width
    vectors = np.array(bundle.item_vectors[1:, :width], np.float32)
    queries = np.ascontiguousarray(expected_queries(bundle, Stepper(bundle, on_cpu=True), USERS)[:, :width])
    exact = [np.argsort(-(vectors @ query))[:BEST] for query in queries]
    with threadpool_limits(1):
        for made in faiss_indexes(vectors):
            _report(*made, queries, exact)
        if importlib.util.find_spec("usearch") is not None:
            for made in usearch_index(vectors):
                _report(*made, queries, exact)


def _report(name: str, built_s: float, size: int, search: Search, queries: Any, exact: Any) -> None:
    began_s = time.process_time()
    proposed = [search(query) for query in queries]
    search_ms = (time.process_time() - began_s) / len(queries) * 1e3
    recall = {
        f"recall@{best}": round(
            float(np.mean([np.isin(one[:best], other).mean() for one, other in zip(exact, proposed, strict=True)])), 4
        )
        for best in (20, BEST)
    }
    figures = {"built_s": round(built_s, 1), "mb": round(size / 1e6), "search_ms": round(search_ms, 2)}
    print(json.dumps({"index": name, **figures, **recall}), flush=True)


if __name__ == "__main__":
    main()

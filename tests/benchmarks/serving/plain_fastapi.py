"""What users would write: a FastAPI handler that reads one row with the Cassandra driver and scores with numpy.

`python -m tests.benchmarks.serving.plain_fastapi PORT CASSANDRA TABLE BUNDLE`
"""

import sys

import numpy as np
import uvicorn
from cassandra.cluster import Cluster
from fastapi import FastAPI, HTTPException

from export.runtime.bundle import Bundle


def make(cassandra: str, table: str, bundle: Bundle) -> FastAPI:
    host, port = cassandra.split(":")
    session = Cluster([host], port=int(port)).connect()
    columns = "representation, recent_items, recent_scores"
    select = session.prepare(f"SELECT {columns} FROM {table} WHERE user_id = ? AND bundle_id = ?")
    vectors, names = np.array(bundle.item_vectors[1:]), bundle.vocabulary.items
    app = FastAPI()

    @app.get("/v1/users/{user_id}/recommendations")
    def recommendations(user_id: str, k: int = 20) -> dict[str, object]:
        row = session.execute(select, (user_id, bundle.bundle_id)).one()
        if row is None:
            raise HTTPException(404)
        scores = vectors @ np.array(row.representation, np.float32)
        for item, score in zip(row.recent_items, row.recent_scores, strict=True):
            if item > 0:
                scores[item - 1] += score
        best = np.argpartition(-scores, k)[:k]
        best = best[np.argsort(-scores[best])]
        return {
            "user_id": user_id,
            "items": [{"item_id": names[item], "score": float(scores[item])} for item in best],
        }

    return app


if __name__ == "__main__":
    port, cassandra, table, folder = sys.argv[1:]
    uvicorn.run(make(cassandra, table, Bundle.load(folder)), port=int(port), log_level="warning", access_log=False)

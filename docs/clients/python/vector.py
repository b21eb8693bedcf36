"""Read the vector of a user: vector.py HOST PORT KEYSPACE USER"""

import json
import sys

from cassandra.cluster import Cluster

host, port, keyspace, user_id = sys.argv[1:]
with Cluster([host], port=int(port)) as cluster:
    session = cluster.connect(keyspace)
    bundle_id = session.execute("SELECT bundle_id FROM active_bundle WHERE name = 'active'").one().bundle_id
    width = session.execute("SELECT width FROM bundles WHERE bundle_id = %s", [bundle_id]).one().width
    query = f"SELECT representation, steps FROM representations_{width} WHERE user_id = %s AND bundle_id = %s"
    row = session.execute(query, [user_id, bundle_id]).one()
    vector, steps = (None, 0) if row is None else (row.representation, row.steps)
    print(json.dumps({"user_id": user_id, "bundle_id": bundle_id, "steps": steps, "vector": vector}))

"""The bundles of a keyspace besides what a worker writes: which one is active, how large each is, and its deletion."""

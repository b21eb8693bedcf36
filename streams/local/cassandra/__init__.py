"""The local Cassandra: one process for each node, for a small machine.

The package may import the other modules of `streams.local`. The package writes Cassandra's configuration, knows when
Cassandra is ready, and creates the user of a secure Cassandra; the caller starts and stops the processes. The package
does not use the Cassandra driver, because a few requests of the binary protocol are enough.
"""

"""`thalweg demo`: a simulated shop streamed through a real Kafka, worker and Cassandra, shown while it runs.

The package is the top of `streams` and may import every other package. The package owns the demo's shop, the demo's
bundle (`bundle/`), and the worker as a child process, which tests and benchmarks use as well. The package computes no
state and no metric: the worker, the monitor and `thalweg verify` do.
"""

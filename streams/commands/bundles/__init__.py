"""`thalweg bundles`, `promote`, `rollback` and `retire`: the bundles of a keyspace, and which one answers.

The package may import `streams.config`, `streams.broker`, `streams.store`, `streams.engine` and `streams.health`. What
speaks for and against a switch is decided in `evidence.py`, without input and output.
"""

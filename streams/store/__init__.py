"""Cassandra: the schema, one session, the rows of users, item vectors, and the registry of bundles and epochs.

The room may import `streams.config` and `streams.engine`, and never sees `streams.broker`. The room stores and returns
states. How a state comes about is decided in `streams.engine`.
"""

"""The worker: the way of a batch from Kafka to Cassandra, and the Faust application around it.

`pipeline` calls the eight steps, `wiring` makes every object, and `command` is `thalweg worker`. The room may import
`streams.health`, `streams.broker`, `streams.store`, `streams.engine` and `streams.config`. The room computes nothing
about users: it calls `streams.engine`.
"""

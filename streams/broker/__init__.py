"""Kafka: topics, reading, the transport that delivers whole record batches to Faust, and confirmed outputs.

The room may import `streams.config`, `streams.contracts` and `streams.engine`, and never sees `streams.store`. The
room moves records. What a record means is decided in `streams.engine`.
"""

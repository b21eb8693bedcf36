"""`thalweg archive`: keeps the behaviour topic as Parquet, in a folder or a bucket.

The package may import `streams.config`, `streams.broker`, `streams.archive` and the decoders of `streams.engine`.
"""

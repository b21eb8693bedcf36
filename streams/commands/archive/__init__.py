"""`thalweg archive`: keeps the behaviour topic as Parquet, in a folder or a bucket.

`archiving.py` copies the topic, and `log/` begins a new archive with a log. The package knows neither Cassandra nor a
bundle.
"""

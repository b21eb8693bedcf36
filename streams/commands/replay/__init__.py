"""`thalweg replay`: sends the rows of an event log to the behaviour topic.

The package may import `encoder.data.loaders`, `streams.config` and `streams.broker`. Other commands use its producer to
send records of their own. The package does not look into the records: a worker decides what a row is.
"""

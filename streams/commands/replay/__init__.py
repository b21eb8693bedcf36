"""`thalweg replay`: sends the rows of an event log to the behaviour topic.

The package decides the order of the rows and sends them. It may import `encoder.data`, `streams.config` and
`streams.broker`. Other commands use its producer to send records of their own. A worker decides what a row is.
"""

"""The online monitor: follows the evaluation topic and scores the model beside other scorers on the same events.

The package may import `encoder`, `export.runtime`, `streams.config`, `streams.contracts`, `streams.broker` and
`streams.health`. The packages `scoring`, `drift`, `frozen` and `pairs` count and compute, without I/O and without a
clock. The package `outputs` publishes. The other modules read topics, keep the state between two runs, expose
Prometheus metrics and draw the terminal.
"""

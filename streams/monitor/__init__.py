"""The online monitor: follows the evaluation topic and scores the model beside two baselines on the same events.

The package may import `encoder`, `streams.config`, `streams.contracts`, `streams.broker` and `streams.health`. The
package `scoring` holds the counting, without I/O and without a clock; the other modules read and write topics, expose
Prometheus metrics and draw the terminal. The monitor keeps no state between runs and writes no user's data.
"""

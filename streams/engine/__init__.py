"""What a micro-batch does to users' states: decode, plan, step, score and encode, with the states in memory.

The room may import `streams.config.errors`, `streams.contracts`, `export.runtime` and `encoder`. The room knows no
input, no output and no clock. So the worker, `thalweg verify` and the tests run the same code.
"""

"""History as columns: the plan and the steps of large blocks of one partition's events, without an object per event.

The rules are those of `streams.engine.planning`. The columns hold the common case alone: users whose records of a block
are events that came once, in the partition of the user. All records of every other user go to a `Processor`. See
docs/decisions.md#history-by-columns.
"""

"""How far each partition is read, and which offsets may be committed.

The modules are pure, except for `group_offsets`, which commits.
"""

"""`thalweg erase`: sends the erasure of a user behind the user's events, and waits for the proof that it took effect.

The package may import `streams.config`, `streams.broker`, `streams.store` and `streams.engine`. The package deletes no
row: the workers of each bundle erase what the bundle holds.
"""

"""`thalweg verify`: recomputes the users' states from the topic and compares the states with Cassandra.

The package may import `streams.config`, `streams.contracts`, `streams.broker`, `streams.store`, `streams.engine` and
`export.runtime`. The package commits no offset, and writes rows only where `--repair` asks for them.
"""

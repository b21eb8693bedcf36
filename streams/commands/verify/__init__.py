"""`thalweg verify`: recomputes the users' states from the topic and compares the states with Cassandra.

The package may import `streams.config`, `streams.contracts`, `streams.broker`, `streams.store`, `streams.engine` and
`export.runtime`. The package repairs no row and commits no offset.
"""

"""`thalweg dlq`: shows the dead letters with their reasons, or sends the original records again.

The package may import `streams.config`, `streams.contracts`, `streams.broker`, `streams.commands.replay`, and
`encoder.data.contract.quoting` for the text of a key. The package does not write dead letters; a worker does.
"""

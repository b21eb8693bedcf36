"""`thalweg backfill`: steps an archive's history into the rows of a bundle, and hands over to the bundle's workers.

The package may import `streams.archive`, `streams.config`, `streams.contracts`, `streams.broker`, `streams.store`,
`streams.engine`, `streams.health` and `export.runtime`.
"""

"""Java programs without an installed Java: a runtime from a Python package, and jars from Maven repositories.

The package may import `streams.local.errors` alone. The package knows where the jars of Kafka and Cassandra come from
and how a Java program is called; the packages `kafka` and `cassandra` know the programs' options.
"""

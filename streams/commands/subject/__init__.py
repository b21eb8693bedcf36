"""`thalweg subject`: exports what tables and topics hold of a user, and says what could not be read.

The package may import `streams.config`, `streams.broker`, `streams.store`, `streams.engine` and `streams.contracts`. Of
the commands, the package imports only how a dead letter names its users. The package changes nothing.
"""

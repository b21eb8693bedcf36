"""Settings and errors of the live system, TLS and authentication of clients, and filters of logs.

This package may import `encoder.errors`, and the clients of Kafka for logins (`logins/`) and for the check of a login
at the broker. Every other package of `streams` may import this package. The package does no work of a command: it
neither reads topics nor opens sessions.
"""

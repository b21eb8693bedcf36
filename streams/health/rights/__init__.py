"""The least rights of each program on Kafka and Cassandra: which they are, and which of them a user lacks.

The package knows which rights a program needs (`kafka_rights.py`, `cassandra_rights.py`), and asks the services which
rights a user has (`check.py`). No question changes anything at the services.
"""

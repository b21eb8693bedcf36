"""Parts of Cassandra's protocol that the driver does slowly: encoded rows in requests, and vectors in results."""

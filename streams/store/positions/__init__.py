"""What lies between the rows and the commits of a consumer group: how far the rows go, and erasures not committed."""

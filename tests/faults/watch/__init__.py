"""What a trial looks at while faults come: the commits of the group, and the health of the services."""

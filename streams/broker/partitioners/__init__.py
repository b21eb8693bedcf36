"""The rules by which producers choose the partition of a key, and which of the rules a topic's records follow."""

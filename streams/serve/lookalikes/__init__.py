"""The nearest users of a user: an index of representations in memory, which follows the updates topic."""

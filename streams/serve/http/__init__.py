"""What every request passes: tokens, limits, ids, metrics, and the body of an error."""

"""`make swap`: a new model while traffic flows, from the archive to the rollback, with readers who ask throughout."""

"""`thalweg represent`: the vectors that users had at the moments of labels, from a log or from an archive."""

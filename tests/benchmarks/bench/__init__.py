"""`make bench`: the whole job by Thalweg and by what users would build instead, side by side, and against a floor."""

"""`thalweg items`: a file of items becomes the catalogue."""

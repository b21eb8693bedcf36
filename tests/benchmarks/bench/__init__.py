"""`make bench`: compares Thalweg with what users would build instead, and with the least that each part can cost."""

"""`thalweg map`: how the records of a topic or file are read as events, and a proposal of a mapping."""

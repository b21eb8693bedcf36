"""Where the fields of an event stand in a record: paths, and what is made of the values that stand there."""

"""Makes one event log of the parts of a file. The package needs no pyarrow."""

"""The live system of Thalweg: the worker, the monitor, the commands and the local services."""

"""Reads texts: the lines of a file, the cells of a line, times and numbers. The package knows no format of a log."""

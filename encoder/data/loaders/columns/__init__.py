"""The option `--columns`: which column of a table, or which path of a JSON object, holds which field of an event."""

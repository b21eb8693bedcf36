"""What the page shows while the page is open: metrics, alarms, dead letters, lag, freshness, and users lately seen.

The topics are read only while a page is open, so that a server without a reader spends nothing.
"""

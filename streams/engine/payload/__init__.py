"""What the bytes of a record hold. Pure.

Readers of payloads, the events that a mapping makes of what they read, and encoders of updates with a schema id.
"""

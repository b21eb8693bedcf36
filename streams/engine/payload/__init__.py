"""What the bytes of a record hold: readers of payloads, and the events that a mapping makes of what they read. Pure."""

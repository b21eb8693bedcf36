"""What the monitor tells others: metrics events and alarm events on topics, and alarms by HTTP."""

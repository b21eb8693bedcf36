"""How users leave memory and topics while batches go on: by evictions, and by the sweep of users who stay away."""

"""`thalweg rekey`: writes a topic of the event contract, keyed by user, from a topic that a mapping reads."""

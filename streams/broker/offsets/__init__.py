"""How far each partition is read, and which offsets may be committed. Pure: the modules know no client of Kafka."""

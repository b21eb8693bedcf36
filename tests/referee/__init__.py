"""A referee of the live system: an independent check that imports nothing of the product.

The referee sends events with a Kafka client of its own, starts the product only as commands, and then judges what the
product stored and published. The referee recomputes every user with ONNX Runtime and numpy alone, from the records that
the referee sent and from the formats that docs/contracts.md and docs/architecture.md describe. No module of `streams`,
`export`, `encoder` or `tests.support` is imported, so a fault of the product cannot hide itself in the check.

    model.py       a bundle folder: graphs, vocabulary, item vectors
    records.py     events, the records that were sent, the rules that choose partitions
    recompute.py   what must be stored and published after these records
    topics.py      Kafka: topics, producers, readers of committed records, committed offsets
    rows.py        Cassandra: rows of users, with the state cell decoded by its documented layout
    product.py     the product's commands as processes; local services
    judgement.py   compares what is there with what must be there
    trial.py       one run of one scenario
    registry.py    the table of scenarios
    scenarios/     the scenarios, one file for each fault
"""

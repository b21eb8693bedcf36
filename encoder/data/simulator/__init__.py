"""A simulated shop whose events look like real behaviour, with a known upper bound for next-item prediction.

The package makes event logs and descriptions of items, disturbs the records of a log, and scores an oracle that knows
the hidden variables of the shop. It imports only `encoder.data` and `encoder.errors`. It neither reads nor writes
files.
"""

from encoder.data.simulator.descriptions import Descriptions, describe
from encoder.data.simulator.faults import faulty_records
from encoder.data.simulator.oracle import Score, ceiling
from encoder.data.simulator.shop import Shop, Simulation

__all__ = ["Descriptions", "Score", "Shop", "Simulation", "ceiling", "describe", "faulty_records"]

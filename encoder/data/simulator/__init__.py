"""A simulated shop: realistic behaviour events with a known ceiling for next-item prediction."""

from encoder.data.simulator.faults import faults
from encoder.data.simulator.oracle import Score, ceiling
from encoder.data.simulator.shop import Shop, Trace

__all__ = ["Score", "Shop", "Trace", "ceiling", "faults"]

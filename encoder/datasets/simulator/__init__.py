"""A simulated shop: realistic behaviour events with a known ceiling for next-item prediction."""

from encoder.datasets.simulator.faults import faults
from encoder.datasets.simulator.oracle import Score, ceiling
from encoder.datasets.simulator.shop import Shop, Trace

__all__ = ["Score", "Shop", "Trace", "ceiling", "faults"]

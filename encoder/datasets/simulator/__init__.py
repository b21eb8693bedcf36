"""A simulated shop: an endless source of realistic behaviour events with a known ceiling for next-item prediction."""

from encoder.datasets.simulator.faults import faults
from encoder.datasets.simulator.shop import Shop, Trace

__all__ = ["Shop", "Trace", "faults"]

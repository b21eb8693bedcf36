"""Proposes a mapping from a sample of a topic, and tells what a mapping makes of the sample. The package is pure."""

from encoder.data.mapping.proposals.proposal import Proposal, propose
from encoder.data.mapping.proposals.reading import Reading, judge_record, read_record, read_sample
from encoder.data.mapping.proposals.usage import Usage, closest_paths

__all__ = ["Proposal", "Reading", "Usage", "closest_paths", "judge_record", "propose", "read_record", "read_sample"]

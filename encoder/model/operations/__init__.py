"""Operations on tensors that torch lacks, or does slowly on a CPU."""

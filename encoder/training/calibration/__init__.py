"""What is fitted after the steps of the optimiser: the scores of recent items, and the heads."""

"""Batches of training and evaluation: windows of consecutive events of several users."""

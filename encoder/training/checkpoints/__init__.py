"""Checkpoints: the files of finished trainings."""

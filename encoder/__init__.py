"""The offline part of Thalweg: events and event logs, user models, their training and their metrics.

The rooms import only in one direction: commands, training, model, metrics, data, then console and errors. The package
imports neither `export` nor `streams`, although `streams` and `export` share its events, metrics and vocabularies.
"""

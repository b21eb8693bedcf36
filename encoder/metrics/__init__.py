"""Offline metrics and the baselines that a model has to beat.

The room owns ranking metrics, figures of recommended lists, calibration, metrics of the next action, of the time to the
next event and of churn, the mixture distribution of that time, counts of which items follow which, confidence
sequences, and the check for data leakage. It imports only `encoder.data` and `encoder.errors`. All modules are pure and
need neither torch nor a model.
"""

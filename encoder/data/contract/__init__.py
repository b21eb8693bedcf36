"""The contract of behaviour events, and the judge that decides what is an event. Pure.

Training, evaluation, `thalweg replay` and the worker's codec all ask this judge, so that all of them keep the same
events with the same fields. The package imports only `encoder.data.events`.
"""

"""`thalweg archive --log`: a new archive begins with the events of a log, and goes on with the records of the topic.

`beginning.py` has the order of the steps. `survey.py` reads what the topic says about the log, `log_events.py` reads
the log, and `event_runs.py` sorts the events by partition and time within a bounded memory.
"""

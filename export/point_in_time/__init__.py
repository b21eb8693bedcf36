"""`thalweg represent`: the vectors that users had at moments in the past, computed from the users' events.

A label names a user and a moment. The vector of a label is computed from the user's events strictly before the moment.
The users of labels and events are divided by a hash into files of a temporary folder, so that one file at a time is in
memory.
"""

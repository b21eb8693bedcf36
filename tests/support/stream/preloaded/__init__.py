"""Commands of Thalweg as processes that begin with their modules loaded.

Loading the modules takes most of the time of a short command: 2 to 4 s of processor time for a worker. The tests start
hundreds of commands, so one server process loads the modules once, and each command is a fork of the server. Apart from
that a command runs as `python -m` runs the command: a process of its own, with its own environment and folder.

Inside `real_starts`, commands load their modules by themselves, for signals that come in the start. Demos and the
processes of a supervisor load their modules by themselves as well.
"""

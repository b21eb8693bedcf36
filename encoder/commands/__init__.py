"""The subcommands of `thalweg` that need no stream: `simulate`, `train` and `evaluate` for a checkpoint.

The room parses arguments, calls the other rooms and prints results. It may import all other rooms of `encoder`. A
command reads the log and checks its arguments before it loads torch, so that mistakes are reported at once.
"""

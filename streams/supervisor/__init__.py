"""`thalweg worker`: one worker in this process, or several as child processes of a supervisor.

The supervisor starts each process again that ends, serves one address for the metrics and the health of all, and ends
all together. The room may import `streams.worker`, `streams.health`, `streams.broker` and `streams.config`. The
supervisor itself loads neither Faust nor the model: both are loaded in the processes of the workers alone.
"""

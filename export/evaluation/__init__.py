"""The offline evaluation of a bundle: its own graphs step and rank the events of a log as a worker does.

The room owns the commands `thalweg evaluate` and `thalweg explain`, the metrics of a whole log, and the report. It may
import `encoder.data`, `encoder.metrics`, `encoder.commands` and `export.runtime`, and it does not load torch. It
evaluates no checkpoint, which `encoder.commands.evaluate` does.
"""

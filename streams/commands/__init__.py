"""Commands on running services: replay, verify, dlq, erase and doctor.

A command may import every package of `streams` except `streams.demo`, `streams.monitor` and `streams.worker`. Each
command has a module with `add_arguments(parser)` and `run(args) -> int`, which `streams.cli` calls. No command here
keeps running: the worker and the monitor have packages of their own.
"""

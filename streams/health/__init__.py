"""The health of a worker: its metrics, its HTTP endpoints, and the watchdog that ends a worker without progress.

This package may import `streams.config` and the result types of `streams.engine`. The package only observes: it neither
changes nor repeats the work of a worker, and the supervisor of the process (systemd, Kubernetes) does the restart.
"""

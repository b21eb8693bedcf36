#!/usr/bin/env bash
# cassandra-driver 3.30.1: after one refused login, a node is never tried again, and counts as being tried for ever.
#
# Expected: a reconnection that ends for good leaves its place in the host, so that a later event starts another one. A
#   refused login need not be final: Cassandra refuses every login while too few nodes answer that hold users
#   ("Cannot achieve consistency level"), as when all nodes of a cluster start.
# Behaviour: `_HostReconnectionHandler.on_exception` returns False for AuthenticationFailed, and `run` then schedules
#   nothing. The handler stays in `host._reconnection_handler`, so `host.is_currently_reconnecting()` stays true, and
#   `Cluster.on_down` starts no other handler. Nothing is logged.
# Why it matters: three nodes with PasswordAuthenticator were stopped and started while a session was open. The node that
#   was ready first refused the login, and got no request any more for the life of the session. A session whose only
#   node refuses a login once is lost for good. The same fault is issue 1026 of scylladb/python-driver.
#
# The script runs the driver's handler with a factory of connections that fails once, and counts the tries that follow.
# Output seen on 2026-11-30: "after ConnectionException: 1 further try; reconnecting: True
#   after AuthenticationFailed: 0 further tries; reconnecting: True"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cassandra-driver==3.30.1
"$folder/venv/bin/python" - <<'PYTHON'
import logging

from cassandra import AuthenticationFailed
from cassandra.connection import ConnectionException, DefaultEndPoint
from cassandra.policies import ConstantReconnectionPolicy, SimpleConvictionPolicy
from cassandra.pool import Host, _HostReconnectionHandler

logging.disable(logging.CRITICAL)


class Scheduler:
    def __init__(self):
        self.tasks = []

    def schedule(self, delay, task):
        self.tasks.append(task)


def further_tries(error):
    def refuse():
        raise error

    scheduler, host = Scheduler(), Host(DefaultEndPoint("127.0.0.1"), SimpleConvictionPolicy)
    schedule = ConstantReconnectionPolicy(1.0, max_attempts=None).new_schedule()
    place = host.get_and_set_reconnection_handler
    handler = _HostReconnectionHandler(host, refuse, False, None, None, scheduler, schedule, place, new_handler=None)
    place(handler)
    handler.start()
    scheduler.tasks.pop()()  # the first try
    tries = len(scheduler.tasks)
    word = "try" if tries == 1 else "tries"
    print(f"after {type(error).__name__}: {tries} further {word}; reconnecting: {host.is_currently_reconnecting()}")
    return tries, host.is_currently_reconnecting()


assert further_tries(ConnectionException("refused")) == (1, True)
assert further_tries(AuthenticationFailed("Cannot achieve consistency level QUORUM")) == (0, True), "mended"
PYTHON

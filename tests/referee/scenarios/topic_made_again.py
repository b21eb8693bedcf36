"""The behaviour topic is deleted and made again while its worker stands still."""

import signal
import time

from tests.referee.records import user_names
from tests.referee.registry import scenario
from tests.referee.trial import Trial

PAUSE_S = 3.0  # shorter than the session timeout of 10 s, so the group does not notice the pause
LONGEST_PAUSE_S = 9.0
OLD_EVENTS, NEW_EVENTS = 1_000, 3_000


@scenario(session_timeout_s=10)
def topic_made_again(trial: Trial) -> None:
    """The new topic is already longer than the old topic was when the worker goes on."""
    users = user_names("user", trial.size.users)
    worker = trial.worker()
    trial.send(trial.shop.events(users, OLD_EVENTS))
    trial.drain()
    new = list(trial.shop.events([*users[10:], *user_names("new", trial.size.users)], NEW_EVENTS))
    worker.signal(signal.SIGSTOP)
    began_s = time.monotonic()
    trial.topic.make_again(trial.topic.partitions)
    trial.send(new)
    time.sleep(max(0.0, PAUSE_S - (time.monotonic() - began_s)))
    worker.signal(signal.SIGCONT)
    paused_s = time.monotonic() - began_s
    trial.expect(paused_s < LONGEST_PAUSE_S, f"the pause lasted {paused_s:.0f} s, so the group noticed the pause")
    trial.drain()
    trial.stop(worker)
    trial.finish()

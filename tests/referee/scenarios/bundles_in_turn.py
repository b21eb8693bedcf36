"""Two bundles that are served in turn on the same settings."""

from tests.referee.records import user_names
from tests.referee.registry import scenario
from tests.referee.trial import Trial


@scenario()
def bundles_in_turn(trial: Trial) -> None:
    """The first bundle, then the second, then the first again: a reader finds the last vector of both bundles."""
    first, second = trial.models
    users = user_names("user", trial.size.users)
    trial.send(trial.shop.events(users, trial.size.events))
    for model in (first, second):
        worker = trial.worker(model)
        trial.drain(model)
        trial.stop(worker)
    trial.send(trial.shop.one_each(users[:10]))
    worker = trial.worker(first)
    trial.drain(first)
    trial.stop(worker)
    trial.judge(first)
    worker = trial.worker(second)
    trial.drain(second)
    trial.stop(worker)
    trial.finish(first, second)

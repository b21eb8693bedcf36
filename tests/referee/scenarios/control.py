"""The run without a fault. A failure here means that the referee and the product disagree about the rules."""

from tests.referee.records import user_names
from tests.referee.registry import scenario
from tests.referee.trial import Trial


@scenario()
def control(trial: Trial) -> None:
    """Events, repetitions and erasures, with an orderly restart of the worker in between."""
    users = user_names("user", trial.size.users)
    worker = trial.worker()
    trial.send(trial.shop.events(users, trial.size.events))
    trial.send((user, None) for user in users[:5])
    trial.drain()
    trial.stop(worker)
    trial.send(trial.shop.events(users[3:], trial.size.events))
    trial.start(worker)
    trial.drain()
    trial.stop(worker)
    trial.finish()
    verified = trial.command("verify", "--json")
    trial.expect(verified.exit_code == 0, f"verify: {verified.words()}")

"""`thalweg verify` must accuse no right row, find every lost row, and restore lost rows."""

from tests.referee.records import user_names
from tests.referee.registry import scenario
from tests.referee.trial import Trial

LOG_LIMIT_S = 30.0
HEALING = "verify --repair"


@scenario()
def verify_after_topic_made_again(trial: Trial) -> None:
    """Users with events in the deleted topic cannot be verified. All other users can."""
    gone, both, new = (user_names(prefix, 10) for prefix in ("gone", "both", "new"))
    worker = trial.worker()
    trial.send(trial.shop.one_each([*gone, *both], 3))
    trial.drain()
    trial.stop(worker)
    trial.topic.make_again(trial.topic.partitions)
    trial.send(trial.shop.one_each([*both, *new], 3))
    trial.start(worker)
    trial.drain()
    trial.stop(worker)
    trial.finish()
    verified = trial.command("verify", "--json")
    trial.expect(verified.exit_code == 0, f"verify: {verified.words()}")
    found, wanted = verified.json(), (len(gone) + len(both), 0)
    counts = (found["unverifiable"], found["mismatched"])
    trial.expect(counts == wanted, f"verify counts (unverifiable, mismatched) = {counts}, not {wanted}")


@scenario()
def verify_repairs_lost_rows(trial: Trial) -> None:
    """The table of representations is truncated while a worker runs, and once more while none runs."""
    model, truncate = trial.models[0], trial.connections.rows.truncate
    users = user_names("user", trial.size.users)
    worker = trial.worker()
    trial.send(trial.shop.events(users, trial.size.events))
    trial.drain()
    truncate(trial.name, model)
    trial.send(trial.shop.one_each(users[:20]))
    trial.drain()
    verified = trial.command("verify")
    trial.expect(verified.exit_code == 1, f"verify over lost rows: {verified.words()}")
    trial.stop(worker)
    _repair(trial)
    trial.start(worker)
    trial.send(trial.shop.events(users, trial.size.events))
    trial.drain()
    trial.stop(worker)
    trial.judge()
    truncate(trial.name, model)
    said = worker.words("stderr").count(HEALING)
    trial.start(worker)
    what = f"stderr of a worker without rows names {HEALING!r}"
    trial.wait_for(lambda: worker.words("stderr").count(HEALING) > said, LOG_LIMIT_S, what)
    trial.stop(worker)
    _repair(trial)
    trial.finish()


def _repair(trial: Trial) -> None:
    """Repair, and judge every row after the repair."""
    repaired = trial.command("verify", "--repair")
    trial.expect(repaired.exit_code == 0, f"verify --repair: {repaired.words()}")
    trial.judge()
    verified = trial.command("verify", "--json")
    trial.expect(verified.exit_code == 0, f"verify after the repair: {verified.words()}")

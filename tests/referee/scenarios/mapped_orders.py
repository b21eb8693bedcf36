"""A topic of orders that is read by a mapping, with a worker that is killed."""

from pathlib import Path

from tests.referee.recompute import recompute
from tests.referee.records import user_names
from tests.referee.registry import scenario
from tests.referee.trial import Trial

MAPPING = Path(__file__).with_suffix(".toml")


@scenario(mapping=MAPPING)
def mapped_orders(trial: Trial) -> None:
    """Orders of several lines, broken orders, skipped records, repetitions and erasures, and a SIGKILL in between."""
    users = user_names("user", trial.size.users)
    worker = trial.worker()
    trial.send(trial.shop.orders(users, trial.size.events))
    trial.send((user, None) for user in users[:5])
    trial.drain()
    trial.send(trial.shop.orders(users[3:], trial.size.events))
    worker.kill()
    trial.start(worker)
    trial.drain()
    trial.stop(worker)
    trial.finish()
    expected = recompute(trial.models[0], trial.sent)
    verified = trial.command("verify", "--json")
    found = verified.json()
    trial.expect(verified.exit_code == 0, f"verify: {verified.words()}")
    for name, wanted in (
        ("dead_letters", expected.rejected),
        ("skipped", expected.skipped),
        ("already_applied", expected.repeated),
    ):
        trial.expect(found[name] == wanted > 0, f"verify counts {found[name]} as {name}, and {wanted} are due")
    listed = trial.command("dlq", "--json").json()
    letters, erased = listed["dead_letters"], listed["erased"]
    due = (expected.rejected - expected.rejected_and_erased, expected.rejected_and_erased)
    trial.expect((letters, erased) == due, f"dlq shows {letters} letters and hides {erased}, and {due} are due")
    reasons = {letter["reason"].partition(":")[2].strip().partition(" ")[0] for letter in listed["newest"]}
    trial.expect(reasons == {"item_id"}, f"the letters name {reasons} and not the broken line's item_id")

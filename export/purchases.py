"""Which actions buy an item. A state of the bundle then lists what the user bought last."""

from collections.abc import Sequence

from encoder.errors import InputError

PLACES = 10  # distinct items that a state lists; see docs/decisions.md#bought-items-in-the-step-graph

# The names of a purchase in public logs and in usual schemas of web shops, in lower case.
KNOWN_NAMES = frozenset({"purchase", "purchased", "buy", "bought", "order", "ordered", "orders", "transaction"})


def purchase_indices(actions: Sequence[str], named: Sequence[str] | None) -> tuple[int, ...]:
    """The indices of the actions that buy an item, ascending. Position p of `actions` has the index p + 1.

    named: the actions that a user has named, which may be none. Without names (None), the actions with a well-known
    name count. Raises InputError for a named action that is not among the actions.
    """
    for name in named or ():
        if name not in actions:
            raise InputError(
                f"--purchase-actions names the action {name!r}, which the model does not know: the model knows "
                f"{', '.join(actions)}"
            )
    return tuple(
        index
        for index, action in enumerate(actions, 1)
        if (action.lower() in KNOWN_NAMES if named is None else action in named)
    )

"""Random records for a worker."""

import random

from tests.support.deployment import event, record

ITEMS = [f"item-{i}" for i in range(1, 501)]


def shopping(count: int, users: int, seed: int = 0) -> list[tuple[bytes, bytes]]:
    """Return records of `count` events. Some of them have an item or an action that the tiny bundle does not know."""
    draw = random.Random(seed)
    return [
        record(
            event(
                f"{seed}-{i}",
                f"user-{draw.randrange(users)}",
                draw.choice(ITEMS) if draw.random() < 0.95 else f"new-{draw.randrange(9)}",
                draw.choice(["view", "cart", "purchase", "wave"]),
                10**12 + i * 1000 - draw.choice([0, 0, 50_000]),
            )
        )
        for i in range(count)
    ]

"""The alarms of one bundle: blocks of events in, alarm events out. Pure: no I/O, no clock."""

from streams.contracts.alarm_events import AlarmEvent, alarm_id
from streams.contracts.evaluation_events import EvaluationEvent
from streams.monitor.drift.blocks import BLOCK_EVENTS, MAX_ACTIONS, NORM_SLACK, RULES, Block, Key
from streams.monitor.drift.bounded_names import BoundedNames
from streams.monitor.drift.item_mix import ItemMix
from streams.monitor.drift.level import LEARN_BLOCKS, Change, Figure, Level

# The baselines of a new monitor know nothing, and its first blocks say more about the monitor than about the model.
WARM_UP_BLOCKS = 40


class Watch:
    """Follows the figures of one bundle's events and, where updates are read, of the bundle's vectors."""

    def __init__(self, bundle_id: str) -> None:
        self.bundle_id = bundle_id
        self._mix = ItemMix()
        self._actions = BoundedNames(MAX_ACTIONS)
        self._block: Block | None = None
        self._blocks = 0
        self._levels: dict[Key, Level] = {}
        self._norm_count, self._norm_sum = 0, 0.0

    def observe(self, event: EvaluationEvent, popularity_rank: int, time_ms: int) -> list[AlarmEvent]:
        """Count one event. Returns the alarms that begin or end with it.

        popularity_rank: the rank of the item by popularity before the event, 0 for an item that was never seen.
        """
        mix = self._mix.observe(event.previous_item_id, event.item_id)
        if not event.steps:
            return []
        if self._block is None:
            self._block = Block(time_ms)
        self._block.add(event, self._actions.name(event.action), popularity_rank, mix)
        if not self._block.is_full(time_ms):
            return []
        block, self._block = self._block, None
        self._blocks += 1
        if self._blocks <= WARM_UP_BLOCKS:
            return []
        references = {key: level.reference for key, level in self._levels.items() if level.reference is not None}
        return self._take(block.figures(references), time_ms)

    def observe_norm(self, norm: float, time_ms: int) -> list[AlarmEvent]:
        """Count the length of one representation. Returns the alarms that begin or end with it."""
        self._norm_count += 1
        self._norm_sum += norm
        if self._norm_count < BLOCK_EVENTS:
            return []
        mean = self._norm_sum / self._norm_count
        self._norm_count, self._norm_sum = 0, 0.0
        level = self._levels.get(("vector_norm", "all"))
        reference = mean if level is None or level.reference is None else level.reference
        return self._take({("vector_norm", "all"): Figure(mean, 0.0, NORM_SLACK * reference)}, time_ms)

    def firing(self) -> dict[Key, bool]:
        """For each figure that has a reference, whether its alarm fires."""
        return {key: level.is_firing for key, level in self._levels.items() if level.reference is not None}

    def _take(self, figures: dict[Key, Figure], time_ms: int) -> list[AlarmEvent]:
        alarms = []
        for key, figure in figures.items():
            level = self._levels.get(key)
            if level is None:
                level = self._levels[key] = self._new_level(key[0])
            change = level.observe(figure, time_ms)
            if change is not None:
                alarms.append(self._alarm(key, change))
        return alarms

    def _new_level(self, name: str) -> Level:
        """The level of a figure. An action that comes later had a share of 0 in the blocks before."""
        rule = RULES[name]
        level = Level(rule.rises, rule.falls)
        if name == "action_mix":
            for _ in range(min(self._blocks - WARM_UP_BLOCKS - 1, LEARN_BLOCKS)):
                level.observe(Figure(0.0, 0.0, 0.0), 0)
        return level

    def _alarm(self, key: Key, change: Change) -> AlarmEvent:
        name, slice_name = key
        return AlarmEvent(
            id=alarm_id(self.bundle_id, name, slice_name, change.starts_at_ms, change.state),
            bundle_id=self.bundle_id,
            name=name,
            slice=slice_name,
            state=change.state,
            starts_at_ms=change.starts_at_ms,
            ends_at_ms=change.ends_at_ms,
            value=change.value,
            expected=change.expected,
            detail=_sentence(name, slice_name, change),
        )


def _sentence(name: str, slice_name: str, change: Change) -> str:
    subject = RULES[name].subject.replace("this action", slice_name.partition("=")[2] or "this action")
    figures = f"{change.value:.4g}, and the reference is {change.expected:.4g}"
    if change.state == "firing":
        return f"{subject[0].upper()}{subject[1:]} is {figures}."
    if change.accepted:
        return f"{subject[0].upper()}{subject[1:]} was {figures}; the new level has lasted a week and is the reference."
    return f"{subject[0].upper()}{subject[1:]} was {figures}; now the figure is near the reference again."

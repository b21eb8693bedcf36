"""The progress of a training on the console."""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from encoder.metrics.baselines import BASELINES
from encoder.training.settings import SEARCH_SPACE, TrainingSettings

if TYPE_CHECKING:
    from encoder.training.snapshots import SnapshotFile
    from encoder.training.tuning import Search


class TrainingProgress:
    """Shows a bar for the running epoch, and prints a line for each finished epoch."""

    def __init__(self, console: Console, max_epochs: int) -> None:
        """max_epochs: the number of epochs with a validation. All later epochs are of the training on the whole log."""
        self._max_epochs = max_epochs
        self._is_final_told = False
        self._bars = Progress(
            TextColumn("epoch {task.fields[number]}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
        )
        self._task = self._bars.add_task("", total=1.0, number=1)

    def __enter__(self) -> "TrainingProgress":
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def on_baselines(self, baselines: Mapping[str, Mapping[str, float]]) -> None:
        """Print the metrics of the rankings that only count. baselines: as `encoder.training.train.validate_baselines`
        returns."""
        for key, metrics in baselines.items():
            self._bars.console.print(f"{BASELINES[key]:21s}  {_figures(metrics)}")

    def on_trial(self, settings: TrainingSettings, mrr: float | None, is_best: bool) -> None:
        """Print the result of a trial of a search. This method is an `encoder.training.tuning.OnTrial`."""
        mark = "  best so far" if is_best else ""
        result = "diverged" if mrr is None else f"mrr@20 {mrr:.4f} on half of the validation users"
        self._bars.console.print(f"{result} with {_searched(settings)}{mark}", highlight=False)

    def on_search(self, search: "Search") -> None:
        """Print which settings a search chose, and by how much they are better."""
        self._bars.console.print(search_text(search), highlight=False, soft_wrap=True)

    def on_start(self, snapshots: "SnapshotFile") -> None:
        """Print whether the training continues from a snapshot."""
        if snapshots.was_rejected:
            self._bars.console.print(
                "The folder has a snapshot of a training on another log or with other settings: this training starts "
                "from the beginning",
                soft_wrap=True,
            )
        elif snapshots.found is not None:
            epochs = len(snapshots.found.validation.epochs) + snapshots.found.passes
            self._bars.console.print(f"Continues after epoch {epochs} of a training that was stopped", highlight=False)

    def on_epoch(self, epoch: int, share: float, metrics: dict[str, float] | None) -> None:
        """Show how much of an epoch is done. This method is an `encoder.training.trainer.Progress`."""
        self._bars.update(self._task, completed=share, number=epoch + 1)
        if epoch >= self._max_epochs and not self._is_final_told:
            self._is_final_told = True
            self._bars.console.print(
                "Trains the model on the whole log now, for as many epochs as were best, without validation",
                highlight=False,
                soft_wrap=True,
            )
        if metrics is not None:
            self._bars.console.print(f"epoch {epoch + 1:2d}  loss {metrics['loss']:6.3f}  {_figures(metrics)}")


def search_text(search: "Search") -> str:
    """One sentence about the settings that a search chose."""
    found = search.confirmation
    if search.trials == 1:
        return "The time was enough for one trial: the first settings stay; give --tune more minutes"
    if found is None:
        return f"None of the {search.trials} trials was better than the first: the first settings stay"
    figures = (
        f"the best of {search.trials} trials has mrr@20 {found.mrr:.4f} instead of {found.first_mrr:.4f} "
        f"(p {found.p:.2g}) on the other half of the validation users, which did not choose the trial"
    )
    if found.is_significant:
        return f"New settings, {_searched(found.settings)}: {figures}"
    return f"The first settings stay: {figures}, and a difference like this may be chance"


def _figures(metrics: Mapping[str, float]) -> str:
    return f"validation recall@20 {metrics['recall@20']:.4f}  mrr@20 {metrics['mrr@20']:.4f}"


def _searched(settings: TrainingSettings) -> str:
    return ", ".join(f"{name} {getattr(settings, name)}" for name in SEARCH_SPACE)

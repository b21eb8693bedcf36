"""The progress of a training on the console."""

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from encoder.training.settings import SEARCH_SPACE, TrainingSettings

if TYPE_CHECKING:
    from encoder.training.snapshots import SnapshotFile


class TrainingProgress:
    """Shows a bar for the running epoch, and prints a line for each finished epoch."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("epoch {task.fields[number]}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
        )
        self._task = self._bars.add_task("", total=1.0, number=1)

    def __enter__(self) -> "TrainingProgress":
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def on_trial(self, settings: TrainingSettings, metrics: dict[str, float] | None, is_best: bool) -> None:
        """Print the result of a trial of a search. This method is an `encoder.training.tuning.OnTrial`."""
        values = ", ".join(f"{name} {getattr(settings, name)}" for name in SEARCH_SPACE)
        mark = "  best so far" if is_best else ""
        result = "diverged" if metrics is None else f"validation mrr@20 {metrics['mrr@20']:.4f}"
        self._bars.console.print(f"{result} with {values}{mark}", highlight=False)

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
        if metrics is not None:
            self._bars.console.print(
                f"epoch {epoch + 1:2d}  loss {metrics['loss']:.3f}  validation recall@20 {metrics['recall@20']:.4f}  "
                f"mrr@20 {metrics['mrr@20']:.4f}"
            )

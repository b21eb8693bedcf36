"""`thalweg export`: arguments that contradict each other are refused before anything is read or loaded."""

from pathlib import Path

import pytest

from export.runtime.bundle import Bundle
from streams import cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give CHECKPOINT to export a model, or --from-mlflow URI"),
        (["model", "--from-mlflow", "models:/shop/1"], "give CHECKPOINT to export a model, or --from-mlflow URI"),
        (["--from-mlflow", "models:/shop"], "--from-mlflow models:/shop is no address of MLflow"),
        (["--from-mlflow", "models:/shop/1", "--gpu"], "--gpu is about an export"),
        (["--from-mlflow", "models:/shop/1", "--aligned-to", "b"], "--aligned-to is about an export"),
        (["model", "--to-mlflow", "http://127.0.0.1:5000"], "--to-mlflow http://127.0.0.1:5000 is no address"),
        (["model", "--aligned-to", "nothing"], "no bundle at nothing: manifest.json is missing"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", *arguments, "--out", str(tmp_path / "bundle")]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_exported_into_the_space_of_a_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, folder = (
        str(tmp_path / "log.jsonl"),
        {name: str(tmp_path / name) for name in ("old", "new", "first", "second")},
    )
    size = ["--events", "2000", "--users", "60", "--items", "40"]
    few = ["--width", "16", "--max-epochs", "1"]
    assert cli.main(["simulate", *size, "--out", log]) == 0
    for seed, name in enumerate(("old", "new")):
        assert cli.main(["train", log, *few, "--seed", str(seed), "--out", folder[name]]) == 0
    assert cli.main(["export", folder["old"], "--out", folder["first"]]) == 0
    capsys.readouterr()
    assert cli.main(["export", folder["new"], "--aligned-to", folder["first"], "--out", folder["second"]]) == 0
    first, second = (Bundle.load(folder[name]) for name in ("first", "second"))
    assert f"aligned to {first.bundle_id} over {first.manifest.items} shared items" in capsys.readouterr().out
    assert second.manifest.aligned_to["cosine"] > second.manifest.aligned_to["cosine_before"]
    again = ["export", folder["old"], "--aligned-to", folder["first"], "--out", str(tmp_path / "third")]
    assert cli.main(again) == 1
    assert "has the vectors of this model already" in capsys.readouterr().err

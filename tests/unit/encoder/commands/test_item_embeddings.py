"""`--item-embeddings` of `thalweg train` and `thalweg export`, on a simulated shop with its catalogue."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from encoder.commands.training_progress import TrainingProgress
from encoder.training.checkpoints import checkpoint
from export import parity
from export.runtime.bundle import Bundle
from streams import cli

SMALL = ("--max-epochs", "2", "--width", "8")


def thalweg(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a log, its first half, its catalogue, and a checkpoint of the first half."""
    folder = tmp_path_factory.mktemp("shop")
    log, catalogue = folder / "shop.jsonl", folder / "catalogue.parquet"
    arguments = ("--events", 3_000, "--items", 300, "--users", 100)
    assert thalweg("simulate", *arguments, "--out", log, "--catalogue", catalogue) == 0
    lines = log.read_bytes().splitlines(keepends=True)
    (folder / "first.jsonl").write_bytes(b"".join(lines[:1_500]))
    sources = (f"text={catalogue}", f"picture={catalogue}")
    given = [part for source in sources for part in ("--item-embeddings", source)]
    assert thalweg("train", folder / "first.jsonl", *given, "--out", folder / "trained", *SMALL) == 0
    return folder


@pytest.fixture(autouse=True, scope="module")
def _short_proof() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "STEPS", 100)
        yield


def test_a_simulated_catalogue_describes_every_item(shop: Path) -> None:
    table = pyarrow.parquet.read_table(shop / "catalogue.parquet")
    known = ["item_id", "name", "category", "brand", "price", "first_seen_ms"]
    assert table.column_names == [*known, "description", "text", "picture"]
    assert table.num_rows == len(set(table["item_id"].to_pylist())) == 300
    assert "range of" in table["description"][0].as_py()
    again = shop / "again.jsonl"
    arguments = ("--events", 3_000, "--items", 300, "--users", 100, "--out", again)
    assert thalweg("simulate", *arguments) == 0
    assert again.read_bytes() == (shop / "shop.jsonl").read_bytes()  # the catalogue does not change the events


def test_the_checkpoint_records_the_embeddings(shop: Path) -> None:
    description = checkpoint.load(shop / "trained").description
    assert {name: shape.width for name, shape in description.model.item_embeddings.items()} == {
        "picture": 32,
        "text": 64,
    }
    assert set(description.data["item_embeddings"]) == {"picture", "text"}


def test_export_gives_unseen_items_their_embeddings(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("export", shop / "trained", "--items", shop / "shop.jsonl")
    catalogue = shop / "catalogue.parquet"
    assert thalweg(*arguments, "--out", shop / "with", "--item-embeddings", f"text={catalogue}") == 0
    printed = capsys.readouterr().out
    bundle, known = Bundle.load(shop / "with"), len(checkpoint.load(shop / "trained").vocabulary.items)
    untrained = bundle.manifest.items - known
    assert untrained > 10
    assert f"item embeddings 'text': 64 numbers each, for {untrained} of {untrained} untrained items" in printed
    assert (
        "item embeddings 'picture': the model has them, and no file is given (--item-embeddings picture=FILE), so new "
        "items have none" in printed
    )
    assert thalweg(*arguments, "--out", shop / "without") == 0
    differs = np.abs(bundle.item_vectors - Bundle.load(shop / "without").item_vectors).sum(axis=1) > 0
    assert differs.tolist() == [place > known for place in range(bundle.manifest.items + 1)]


def test_a_bundle_continues_with_the_embeddings_of_new_items(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert thalweg("export", shop / "trained", "--out", shop / "bundle") == 0
    arguments = ("train", shop / "shop.jsonl", "--from", shop / "bundle", "--max-epochs", 1)
    new = ("--item-embeddings", f"picture={shop / 'catalogue.parquet'}")
    assert thalweg(*arguments, *new, "--out", shop / "next") == 0
    assert "item embeddings 'text': the model has them, and no file is given" in capsys.readouterr().out
    known, updated = (checkpoint.load(shop / name) for name in ("trained", "next"))
    assert updated.model.embeddings is not None
    is_new = np.arange(len(updated.vocabulary.items) + 1) > len(known.vocabulary.items)
    table = updated.model.embeddings.of_items.numpy()
    pictures = known.description.model.item_embeddings["picture"].components
    assert (table[is_new][:, :pictures] != 0).any(axis=1).all()
    assert (table[is_new][:, pictures:] == 0).all()
    assert (table[~is_new][1:, pictures:] != 0).any(axis=1).all()
    assert thalweg(*arguments, "--item-embeddings", f"sound={shop / 'catalogue.parquet'}", "--out", shop / "no") == 1


def test_a_stopped_training_continues_only_with_the_same_embeddings(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(self: object, *arguments: object) -> None:
        if arguments[-1] is not None:
            raise KeyboardInterrupt

    catalogue = shop / "catalogue.parquet"
    arguments = ("train", shop / "first.jsonl", *SMALL, "--out", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_epoch", stop)
        assert thalweg(*arguments, "--item-embeddings", f"text={catalogue}") != 0
    assert (tmp_path / "out" / "unfinished.pt").is_file()
    capsys.readouterr()
    assert thalweg(*arguments, "--item-embeddings", f"picture={catalogue}") == 0
    assert "this training starts from the beginning" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["train", "{folder}/first.jsonl", "--out", "{folder}/never"],
            "none of the 1 ids of the item embeddings 'text'",
        ),
        (["export", "{folder}/trained", "--items", "{folder}/first.jsonl", "--out", "{folder}/never"], "none of the 1"),
        (["export", "{folder}/trained", "--out", "{folder}/never"], "is about unseen items of a log: give --items LOG"),
    ],
)
def test_embeddings_that_cannot_be_used_are_refused(
    shop: Path, command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shop / "other.parquet"
    pyarrow.parquet.write_table(pa.table({"item_id": ["other"], "vector": [[1.0]]}), other)
    arguments = [part.format(folder=shop) for part in command]
    assert thalweg(*arguments, "--item-embeddings", f"text={other}") == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert not (shop / "never" / "checkpoint.json").exists()


@pytest.mark.parametrize("name", ["catalogue.csv", "absent/catalogue.parquet"])
def test_a_catalogue_that_cannot_be_written_is_refused_before_the_simulation(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert thalweg("simulate", "--out", tmp_path / "shop.jsonl", "--catalogue", tmp_path / name) == 1
    assert f"{name} cannot be written: name a .parquet file in an existing folder" in capsys.readouterr().err
    assert not (tmp_path / "shop.jsonl").exists()

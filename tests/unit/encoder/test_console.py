"""Tables of commands: no figure is cut, in narrow terminals and in files."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from encoder.console import FILE_COLUMNS, open_console, print_table

FIGURES = ("0.4787", "12,345,678", "+0.0123", "1.7e+308")


def printed(width: int) -> str:
    table = Table(title="Rank of the next item in the whole catalogue, ties against the ranking")
    table.add_column("ranked by a predictor with a long name")
    for name in ("Recall@20", "events", "difference", "[bold]largest[/]"):
        table.add_column(name, justify="right")
    table.add_row("popularity so far, of all items that anybody ever bought", *FIGURES)
    file = io.StringIO()
    print_table(Console(file=file, width=width, force_terminal=True, color_system=None), table)
    return file.getvalue()


@pytest.mark.parametrize("width", [200, 80, 60, 40, 20])
def test_no_figure_is_cut_in_a_terminal_of_any_width(width: int) -> None:
    text = printed(width)
    assert [figure for figure in FIGURES if figure not in text] == []
    assert "…" not in text


def test_a_file_has_no_edge(capsys: pytest.CaptureFixture[str]) -> None:
    console = open_console()
    assert console.width >= FILE_COLUMNS
    table = Table("text", "value")
    table.add_row("x" * 150, "y" * 150)
    print_table(console, table)
    assert "x" * 150 + " │ " + "y" * 150 in capsys.readouterr().out

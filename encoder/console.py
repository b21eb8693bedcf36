"""Consoles and tables for the output of commands. No figure of a table is cut, in a terminal or in a file."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

FILE_COLUMNS = 1_000  # of a file or a pipe, which has no edge at which a table would be cut


def open_console(stderr: bool = False, quiet: bool = False) -> Console:
    """A console on standard output or standard error. Where the output is no terminal, lines may have any length."""
    console = Console(stderr=stderr, quiet=quiet)
    if not console.is_terminal:
        console.width = max(console.width, FILE_COLUMNS)
    return console


def print_table(console: Console, table: Table, width: int | None = None) -> None:
    """Print a table in which nothing is cut. width: the largest width in columns, by default that of the console."""
    console.print(uncut(table), width=width, crop=False)


def uncut(table: Table) -> Table:
    """The same table, whose texts continue on the next line where there is no room, and whose figures keep theirs.

    Figures are the cells of columns that are aligned to the right. Where even the figures have no room, the table is
    wider than the terminal, and the terminal breaks the lines.
    """
    for column in table.columns:
        column.no_wrap, column.overflow = False, "fold"
        if column.justify == "right":
            texts = [Text.from_markup(cell) if isinstance(cell, str) else cell for cell in column.cells]
            column.min_width = max((text.cell_len for text in texts if isinstance(text, Text)), default=0)
    return table

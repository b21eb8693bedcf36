"""Numbers as the demo writes them. Pure."""

WIDTH = 100  # columns of the live view and of the report; both also fit into 80
# One colour for each scorer
SCORER_COLOURS = {"model": "bright_cyan", "popularity": "yellow", "last_item": "magenta"}


def format_clock(seconds: float) -> str:
    """Minutes and seconds, as in 1:02."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def format_ms(value_ms: float | None) -> str:
    """Milliseconds with a decimal below 10; a dash for None."""
    if value_ms is None:
        return "-"
    return f"{value_ms:,.1f} ms" if value_ms < 10 else f"{value_ms:,.0f} ms"

"""Blocks of whole lines of a text file, and which lines of a block a reader of columns splits into the right cells."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 1 << 20
_LINE_FEED, _CARRIAGE_RETURN, _QUOTE = ord("\n"), ord("\r"), ord('"')


def line_blocks(file: BinaryIO, first: bytes, block_bytes: int) -> Iterator[bytes]:
    """Yield the rest of a file in blocks of whole lines, of about `block_bytes`. Each block ends with a line feed.

    first: bytes that stand before the rest of the file.
    """
    pieces = [first]
    while data := file.read(block_bytes):
        end = data.rfind(b"\n") + 1
        if not end:
            pieces.append(data)
            continue
        yield b"".join([*pieces, data[:end]])
        pieces = [data[end:]]
    rest = b"".join(pieces)
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def line_count(block: bytes) -> int:
    """The number of lines of a block of whole lines."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == _LINE_FEED))  # bytes.count takes ten times as long


class Lines(NamedTuple):
    """The k lines of a block."""

    begin: NDArray[np.int64]  # (k,) position of the first byte
    end: NDArray[np.int64]  # (k,) position of the line feed
    is_odd: NDArray[np.bool_]  # (k,) whether the line must be read by `encoder.data.loaders.text.cells`
    has_quotes: bool  # whether a line that is not odd has quotes


def is_plain(block: bytes, *, has_quoting: bool) -> bool:
    """Whether no line of a block is odd, as far as this needs no look at every line."""
    return not (
        (has_quoting and b'"' in block)
        or block.startswith(codecs.BOM_UTF8)
        or (b"\r" in block and block.count(b"\r") != block.count(b"\r\n"))
    )


def lines_of(block: bytes, separator: str, columns: int, *, has_quoting: bool) -> Lines:
    """Find the lines of a block. A line is odd when it has not `columns` cells, or when its cells are unclear.

    The cells of a line are clear when every quote opens or closes a cell, no cell has a quote inside, and no carriage
    return stands elsewhere than before the line feed.
    """
    data = np.frombuffer(block, np.uint8)
    end = np.flatnonzero(data == _LINE_FEED)
    begin = np.append(0, end[:-1] + 1)
    is_odd = np.zeros(len(end), bool)
    if codecs.BOM_UTF8 in block:  # pyarrow leaves this mark out at the beginning of the lines that it reads
        is_odd |= (data[begin] == codecs.BOM_UTF8[0]) & (end - begin >= len(codecs.BOM_UTF8))
    returns = np.flatnonzero(data == _CARRIAGE_RETURN)
    is_odd[np.searchsorted(end, returns[data[returns + 1] != _LINE_FEED])] = True
    separators = np.flatnonzero(data == ord(separator))
    line = np.searchsorted(end, separators)
    has_quotes = False
    if has_quoting and len(quotes := np.flatnonzero(data == _QUOTE)):
        of_line = np.searchsorted(end, quotes)
        first = np.searchsorted(quotes, begin)
        is_opening = (np.arange(len(quotes)) - first[of_line]) % 2 == 0
        # The byte before the first byte of the block is never read: that quote is at the beginning of a line.
        is_right = np.where(
            is_opening,
            (quotes == begin[of_line]) | (data[quotes - 1] == ord(separator)),
            (data[quotes + 1] == ord(separator)) | (quotes + 1 == _text_end(data, begin, end)[of_line]),
        )
        is_odd[of_line[~is_right]] = True
        is_odd |= np.bincount(of_line, minlength=len(end)) % 2 == 1
        line = line[(np.searchsorted(quotes, separators) - first[line]) % 2 == 0]  # not inside a quoted cell
        has_quotes = bool((~is_odd[of_line]).any())
    is_odd |= np.bincount(line, minlength=len(end)) != columns - 1
    return Lines(begin, end, is_odd, has_quotes)


def _text_end(data: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k,) position behind the last byte of each line's text, without the carriage return before the line feed."""
    text_end: NDArray[np.int64] = end - ((end > begin) & (data[np.maximum(end - 1, 0)] == _CARRIAGE_RETURN))
    return text_end


def lines_kept(block: bytes, lines: Lines) -> bytes:
    """The lines of a block that are not odd."""
    if not lines.is_odd.any():
        return block
    is_kept = np.repeat(~lines.is_odd, lines.end + 1 - lines.begin)
    return np.frombuffer(block, np.uint8)[is_kept].tobytes()

"""The UCI Online Retail lines: how they are read, and the sums that must come out at the other end."""

from __future__ import annotations

import csv
import gzip
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TextIO, TypeAlias

Cell: TypeAlias = tuple[str, str]
"""A stock code, exactly as it is spelled, and a country."""
Line: TypeAlias = tuple[str, str, str, str, int, str]
"""Invoice, minute, stock code, description, quantity and country."""

FILE_NAME = "online_retail.csv.gz"
COLUMNS = ("invoice", "ts", "stock_code", "description", "quantity", "country")
HOT_PRODUCTS = 12


class UnreadableData(ValueError):
    """The file is not there or not of this form. The message is one sentence."""


@dataclass(slots=True)
class Invoice:
    """One edit: all lines of an invoice, in the order of the file, exact duplicates included."""

    number: str
    country: str
    at: str
    """The shop's local minute, such as ``2010-12-01T08:26``."""
    lines: list[tuple[str, int]]

    @property
    def period(self) -> str:
        # London lies at most an hour from UTC and nobody sold within an hour of midnight, so both months are one.
        return self.at[:7]


@dataclass(frozen=True, slots=True)
class RetailData:
    """What the file holds."""

    invoices: list[Invoice]
    descriptions: dict[str, str]
    """The first description of each code: everybody who adds a product adds it with the same one."""
    hot: tuple[str, ...]
    """The codes that most lines are about."""
    lines: int
    empty_lines: int
    """Lines that move nothing; no movement stands for them."""

    @property
    def countries(self) -> Counter[str]:
        """How many lines each country has."""
        lines: Counter[str] = Counter()
        for invoice in self.invoices:
            lines[invoice.country] += len(invoice.lines)
        return lines


def find_file(path: Path) -> Path:
    """The file itself, or the one of the usual name in a directory. Raises :class:`UnreadableData`."""
    found = path / FILE_NAME if path.is_dir() else path
    if not found.is_file():
        raise UnreadableData(f"there is no file {found}")
    return found


def read_retail(path: Path, limit: int | None = None) -> RetailData:
    """Read the first ``limit`` lines. Raises :class:`UnreadableData`."""
    invoices: dict[str, Invoice] = {}
    descriptions: dict[str, str] = {}
    used: Counter[str] = Counter()
    lines = empty_lines = 0
    for number, at, code, description, quantity, country in rows(path, limit):
        lines += 1
        if description:
            descriptions.setdefault(code, description)
        if not quantity:
            empty_lines += 1
            continue
        used[code] += 1
        invoice = invoices.get(number)
        if invoice is None:
            invoice = invoices[number] = Invoice(number, country, at, [])
        elif invoice.country != country:
            raise UnreadableData(f"invoice {number} is of two countries, so it would be no one peer's edit")
        invoice.lines.append((sys.intern(code), quantity))
    hot = tuple(code for code, _ in used.most_common(HOT_PRODUCTS))
    return RetailData(list(invoices.values()), descriptions, hot, lines, empty_lines)


def expected_stock(path: Path, limit: int | None = None) -> dict[Cell, int]:
    """Stock per code and country straight from the lines: what was sold is gone, what was returned is back."""
    sold: Counter[Cell] = Counter()
    for _, _, code, _, quantity, country in rows(path, limit):
        if quantity:
            sold[code, country] += quantity
    return {cell: -quantity for cell, quantity in sold.items()}


def rows(path: Path, limit: int | None) -> Iterator[Line]:
    """The lines one by one; the file is never held as a whole. Raises :class:`UnreadableData`."""
    try:
        with _open(path) as file:
            yield from _parse(path, csv.reader(file), limit)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableData(f"{path} can't be read: {error}") from error


def _parse(path: Path, lines: Iterator[list[str]], limit: int | None) -> Iterator[Line]:
    header = next(lines, [])
    if missing := set(COLUMNS) - set(header):
        raise UnreadableData(f"{path} has no column {', '.join(sorted(missing))}")
    pick = itemgetter(*map(header.index, COLUMNS))
    for number, line in enumerate(islice(lines, limit), 1):
        try:
            invoice, at, code, description, quantity, country = pick(line)
            yield invoice, at, code, description, int(quantity), country
        except (ValueError, IndexError) as error:
            raise UnreadableData(f"{path}: line {number} is not of this form: {error}") from error


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")

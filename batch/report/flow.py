"""Step 5 of 5: the accounts as a flow: from rows read to requests to outcomes, in places and sizes.

Pure geometry: nodes are as high as their counts, ribbons join them, labels keep out of each other's way. Across, the
unit is a thousandth of the width; down, it is a pixel. Rows and requests have a scale each: both fill the height.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.model import GROUP_OF
from batch.report.words import outcome_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batch.report.reconcile import Accounts

_HEIGHT = 300.0
_NODE_WIDTH = 12.0
_GAP = 10.0
_LEAST = 3.0
"""A node is at least so high, so that one request in a million can be seen."""
_LABEL = 21.0
_LEFT = (0.0, 270.0, 540.0, 770.0)
"""Where the columns stand: rows read, what became of rows, what became of requests, outcomes."""


@dataclass(frozen=True, slots=True)
class Node:
    """A bar of the flow with its label; `color` is a class of the page's style."""

    x: float
    y: float
    width: float
    height: float
    color: str
    name: str
    count: int
    label_y: float

    @property
    def label_x(self) -> float:
        """Where the label begins, in percent of the width."""
        return (self.x + self.width) / 10


@dataclass(frozen=True, slots=True)
class Ribbon:
    """What joins two nodes, as an SVG path."""

    path: str
    color: str


@dataclass(frozen=True, slots=True)
class Flow:
    """The whole picture."""

    nodes: tuple[Node, ...]
    ribbons: tuple[Ribbon, ...]
    height: float


@dataclass(frozen=True, slots=True)
class Part:
    """A count with its name, and how it looks."""

    name: str
    count: int
    color: str


def parts(accounts: Accounts) -> tuple[Part, tuple[Part, ...], tuple[Part, ...], tuple[Part, ...]]:
    """Return rows read, what became of them, what became of the requests, and the outcomes that occur.

    The part that flows on stands first in each of the first two groups.
    """
    tallies = accounts.tallies
    rows = (
        _part("row", " planned", accounts.rows_planned, "neutral"),
        _part("row", " with problems", accounts.rows_with_problems, "rejected"),
        _part("blank row", "", accounts.rows_blank, "void"),
    )
    requests = (
        _part("unique request", "", tallies.unique, "neutral"),
        _part("duplicate", "", tallies.duplicates, "void"),
        Part("contradicted", tallies.contradicted, "rejected"),
    )
    outcomes = tuple(
        Part(outcome_text(outcome), count, GROUP_OF[outcome].value.replace(" ", "-"))
        for outcome, count in tallies.outcomes.items()
        if count
    )
    return _part("row", " read", accounts.rows_read, "neutral"), rows, requests, outcomes


def _part(noun: str, more: str, count: int, color: str) -> Part:
    return Part(f"{noun}{'' if count == 1 else 's'}{more}", count, color)


def draw_flow(accounts: Accounts) -> Flow | None:
    """Return the flow of a run's accounts; None where no row was read."""
    read, rows, requests, outcomes = parts(accounts)
    if not read.count:
        return None
    row_scale = _HEIGHT / read.count
    request_scale = _HEIGHT / max(1, accounts.tallies.expanded)
    columns = [
        _column(_LEFT[0], [read], row_scale),
        _column(_LEFT[1], rows, row_scale),
        _column(_LEFT[2], requests, request_scale),
        _column(_LEFT[3], outcomes, request_scale),
    ]
    ribbons = [*_ribbons(columns[0][0], columns[1])]
    for before, after in ((1, 2), (2, 3)):
        if columns[before] and columns[after] and columns[before][0].color == "neutral":
            ribbons += _ribbons(columns[before][0], columns[after])
    nodes = tuple(node for column in columns for node in column)
    bottom = max(max(node.y + node.height, node.label_y + _LABEL / 2) for node in nodes)
    return Flow(nodes, tuple(ribbons), round(bottom + 2, 1))


def _column(x: float, of_column: Iterable[Part], scale: float) -> list[Node]:
    """Stack the parts that have a count, so far apart that each label stands beside the middle of its node."""
    nodes: list[Node] = []
    y, label_y = 0.0, -_LABEL
    for part in of_column:
        if not part.count:
            continue
        height = max(_LEAST, part.count * scale)
        label_y = max(y + height / 2, label_y + _LABEL, _LABEL / 2)
        y = label_y - height / 2
        nodes.append(
            Node(x, round(y, 2), _NODE_WIDTH, round(height, 2), part.color, part.name, part.count, round(label_y, 1))
        )
        y += height + _GAP
    return nodes


def _ribbons(source: Node, targets: Sequence[Node]) -> list[Ribbon]:
    """Join one node to all of the next column, each ribbon as wide at its source as its share."""
    total = sum(node.count for node in targets)
    left, right = source.x + source.width, targets[0].x if targets else 0.0
    middle = (left + right) / 2
    ribbons = []
    y = source.y
    for node in targets:
        until = y + source.height * node.count / total
        path = (
            f"M{left:g} {y:.2f}C{middle:g} {y:.2f} {middle:g} {node.y:g} {right:g} {node.y:g}"
            f"V{node.y + node.height:.2f}C{middle:g} {node.y + node.height:.2f} {middle:g} {until:.2f} {left:g} "
            f"{until:.2f}Z"
        )
        ribbons.append(Ribbon(path, node.color))
        y = until
    return ribbons

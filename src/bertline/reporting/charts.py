"""Charts as inline SVG: lines, and reliability diagrams. The same points give the same bytes; colours come from CSS.

line_chart([Series("training", points, colour=0), Series("validation", others, colour=0, dashed=True)], "step")
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

Point = tuple[float, float]

_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 18, 10, 44
_TICKS = 5
_FEW = 30  # points of a line that are marked one by one
_HEADROOM = 0.04


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: as the legend has it.
        points: (x, y), in the order of x.
        colour: number of a colour of the page, from 0.
        dashed: whether the line is.
    """

    name: str
    points: Sequence[Point]
    colour: int
    dashed: bool = False

    @property
    def style(self) -> str:
        """CSS classes."""
        return f"line c{self.colour}" + (" dashed" if self.dashed else "")


def line_chart(series: Sequence[Series], x_label: str) -> Markup:
    """Lines with their axes and a legend below; nothing where there is no point."""
    drawn = [some for some in series if some.points]
    if not drawn:
        return Markup()
    xs, ys = ([point[axis] for some in drawn for point in some.points] for axis in (0, 1))
    across, up = _Axis.over(xs, _LEFT, _WIDTH - _RIGHT), _Axis.over(ys, _HEIGHT - _BOTTOM, _TOP)
    parts = [*_grid(across, up), *(_line(some, across, up) for some in drawn)]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(Markup('<text x="{}" y="{}" class="mid">{}</text>').format(_n(middle), _HEIGHT - 8, x_label))
    names = ", ".join(some.name for some in drawn)
    return _svg(_WIDTH, _HEIGHT, parts, names) + _legend(drawn)


@dataclass(frozen=True)
class _Axis:
    """Values from `low` to `high` on pixels from `first` to `last`."""

    low: float
    high: float
    first: float
    last: float

    @classmethod
    def over(cls, values: Sequence[float], first: float, last: float) -> "_Axis":
        low, high = min(values), max(values)
        room = (high - low or abs(high) or 1.0) * _HEADROOM
        return cls(low - room, high + room, first, last)

    def at(self, value: float) -> str:
        return _n(self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first))

    def ticks(self) -> list[float]:
        """Round values inside, about five: multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        return [number * step for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def _grid(across: _Axis, up: _Axis) -> Iterator[Markup]:
    for value in up.ticks():
        yield _level(up.at(value), _WIDTH - _RIGHT, _tick(value))
    for value in across.ticks():
        text = '<text x="{}" y="{}" class="mid">{}</text>'
        yield Markup(text).format(across.at(value), _HEIGHT - _BOTTOM + 16, _tick(value))


def _level(y: str, right: float, name: str) -> Markup:
    """A horizontal line of the grid, and its name on the left."""
    line = '<line x1="{}" x2="{}" y1="{y}" y2="{y}" class="grid"/>'
    text = '<text x="{}" y="{y}" dy=".32em" class="end">{}</text>'
    return Markup(line + text).format(_LEFT, right, _LEFT - 6, name, y=y)


def _line(series: Series, across: _Axis, up: _Axis) -> Markup:
    places = [(across.at(x), up.at(y)) for x, y in series.points]
    path = " ".join(f"{x},{y}" for x, y in places)
    made = Markup('<polyline points="{}" class="{}"/>').format(path, series.style)
    if len(places) < _FEW:
        dot = Markup('<circle cx="{}" cy="{}" r="2.6" class="dot c{}"/>')
        made += Markup().join(dot.format(x, y, series.colour) for x, y in places)
    return made


def _legend(series: Sequence[Series]) -> Markup:
    entry = Markup(
        '<span><svg viewBox="0 0 26 10" class="key"><line x1="1" x2="25" y1="5" y2="5" class="{}"/></svg>{}</span>'
    )
    return Markup('<div class="legend">{}</div>').format(
        Markup().join(entry.format(some.style, some.name) for some in series)
    )


_SIDE, _COUNTS = 220, 46  # of the square of a reliability diagram, and the height of the counts below it


def reliability_diagram(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Accuracy against confidence, a bar a bin, beside the diagonal of a calibrated model; below it, how many rows."""
    across = _Axis(0.0, 1.0, _LEFT, _LEFT + _SIDE)
    up = _Axis(0.0, 1.0, _TOP + _SIDE, _TOP)
    most = max(some["rows"] for some in bins)
    floor = _TOP + _SIDE + 26 + _COUNTS
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_level(up.at(share), _LEFT + _SIDE, f"{share:.0%}"))
        text = '<text x="{}" y="{}" class="mid">{:.0%}</text>'
        parts.append(Markup(text).format(across.at(share), _TOP + _SIDE + 16, share))
    for some in bins:
        left, width = float(across.at(some["low"])), (some["high"] - some["low"]) * _SIDE
        for top, height, style in (
            (_TOP + _SIDE * (1 - some["accuracy"]), _SIDE * some["accuracy"], "bar"),
            (floor - _COUNTS * some["rows"] / most, _COUNTS * some["rows"] / most, "bar count"),
        ):
            title = f"{some['rows']:,} rows, {some['accuracy']:.1%} right at {some['confidence']:.1%} confidence"
            bar = '<rect x="{}" y="{}" width="{}" height="{}" class="{}"><title>{}</title></rect>'
            parts.append(Markup(bar).format(_n(left + 1), _n(top), _n(width - 2), _n(height), style, title))
    ends = (across.at(0), up.at(0), across.at(1), up.at(1))
    parts.append(Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="ideal"/>').format(*ends))
    parts.append(Markup('<text x="{}" y="{}" class="end">{:,}</text>').format(_LEFT - 6, floor - _COUNTS + 8, most))
    parts.append(Markup('<text x="{}" y="{}" class="end">rows</text>').format(_LEFT - 6, floor))
    return _svg(_LEFT + _SIDE + 20, floor + 4, parts, "accuracy against confidence", "chart reliability")


def _svg(width: float, height: float, parts: Sequence[Markup], label: str, style: str = "chart") -> Markup:
    head = Markup('<svg viewBox="0 0 {} {}" class="{}" role="img" aria-label="{}">').format(width, height, style, label)
    return head + Markup().join(parts) + Markup("</svg>")


def _n(value: float) -> str:
    """A coordinate: a tenth of a pixel is fine enough."""
    return f"{value:.1f}".removesuffix(".0")


def _tick(value: float) -> str:
    """A round value, with all digits that tell it from its neighbours; the last of a float are left out."""
    if abs(value) >= 10_000:
        return f"{value / 1000:,.10g}k"
    return "0" if abs(value) < 1e-12 else f"{value:.10g}"

"""How do generated trajectories and their scores look on paper?

Figures are made from arrays, without pyplot: no window, no display and no global state are involved. `draw_*` fill one
axes and are what a lesson composes its own figures from (inside `style()`); the others return a whole figure. `save`
writes one. `graph` draws the tape of a tensor.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Curve
from matplotlib.textpath import TextPath

from ._support.arrays import as_floats, as_vector
from ._support.atomic import write_whole
from ._support.layered import Edge, Layout, layered
from .debug import Step, spelled, steps_of
from .nn.module import Module
from .tape import Tensor

Data: TypeAlias = np.ndarray | Sequence
Limits: TypeAlias = tuple[float, float]
Columns: TypeAlias = Sequence[tuple[str, Sequence[str]]]

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
BLACK, GREY, PALE = "#222222", "#8A8A8A", "#D8D8D8"
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"

STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 160,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.7,
    "axes.labelcolor": BLACK,
    "text.color": BLACK,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY]),
    "image.cmap": "viridis",
}

FACTOR_LABELS = {
    "theta0": r"$\theta_0$ (rad)",
    "omega0": r"$\omega_0$ (rad/s)",
    "g_over_l": r"$g/L$ (1/s$^2$)",
    "damping": r"$c/m$ (1/s)",
}


def style() -> AbstractContextManager[None]:
    """A context in which figures take minigen's style: `with plots.style(): ...`."""
    return matplotlib.rc_context(STYLE)


def save(figure: Figure, path: str | os.PathLike) -> Path:
    """Write a figure as PNG, whole or not at all; returns the path."""
    path = Path(path)
    picture = io.BytesIO()
    with style():
        figure.savefig(picture, format="png")
    write_whole(path, picture.getvalue())
    return path


def draw_trajectories(
    ax: Axes, t: Data, theta: Data, shade: Data | None = None, *, limits: Limits = (4, 10), dots: bool = False
) -> None:
    """Trajectories (n, steps) in rad over t (steps,) in s as thin lines, or as dots where noise would hide a line.

    `shade` (n,), such as g/L, gives each its colour on the scale `limits`; without it all are blue.
    """
    t, theta = _curves(t, theta, "theta", "draw_trajectories()")
    if shade is not None:
        shade = as_floats(shade, "shade", "draw_trajectories()")
    colours = BLUE if shade is None else ScalarMappable(Normalize(*limits), "viridis").to_rgba(shade)
    if dots:
        each = colours if shade is None else np.repeat(colours, len(t), axis=0)
        ax.scatter(np.tile(t, len(theta)), theta.ravel(), s=1.6, c=each, lw=0, rasterized=True)
    else:
        lines = np.stack([np.broadcast_to(t, theta.shape), theta], axis=-1)
        ax.add_collection(LineCollection(list(lines), colors=colours, linewidths=0.8))
    ax.set_xlim(*_span(t))


def _curves(t: Data, theta: Data, name: str, caller: str) -> tuple[np.ndarray, np.ndarray]:
    """Times (steps,) and curves (n, steps) over them as floats; of the curves some values may be missing."""
    t, theta = as_vector(t, "t", caller), as_floats(theta, name, caller)
    if theta.ndim != 2 or theta.shape[1] != len(t) or len(t) < 2:
        raise ValueError(
            f"{caller} got {name} of shape {theta.shape} and t {t.shape}; expected (n, steps) and (steps,)"
        )
    return t, theta


def _span(t: np.ndarray) -> tuple[float, float]:
    """The time that the points stand for: the last one has its step too."""
    return t[0], t[-1] + (t[-1] - t[-2])


def draw_histograms(ax: Axes, generated: Data, data: Data, *, bins: int = 20) -> None:
    """The distribution of one factor: the data's (m,) as a grey area, the generator's (n,) as a line."""
    generated = as_floats(generated, "generated", "draw_histograms()")
    data = as_floats(data, "data", "draw_histograms()")
    generated, data = (x[np.isfinite(x)] for x in (generated, data))
    if not data.size:
        raise ValueError("draw_histograms() got data without a finite value; give at least one")
    low, high = np.min(data), np.max(data)
    width = (high - low) or abs(high) or 1.0  # of equal values too something is seen
    margin, step = 0.15 * width, width / bins
    edges = np.arange(low - 5 * step, high + 5.5 * step, step)
    # What lies further out is counted in the outermost bins, so that no sample is hidden.
    area: dict[str, Any] = {"fill": True, "color": PALE}
    line: dict[str, Any] = {"color": VERMILLION, "lw": 1.6}
    for values, look in ((data, area), (generated, line)):
        share, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        ax.stairs(share / max(values.size, 1) / step, edges, **look)
    ax.set(xlim=(low - 2 * margin, high + 2 * margin), yticks=[])
    ax.spines["left"].set_visible(False)


def generator(
    t: Data,
    theta: Data,
    error: Data,
    fitted: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],
    match: Mapping[str, float],
    *,
    title: str,
    observed: Data | None = None,
    noise_sd: Data | None = None,
    data_noise_sd: Data | None = None,
    noisy: bool = False,
) -> Figure:
    """One generator at a glance: samples, what physics leaves unexplained, its idea of the noise, its factors.

    Parameters
    ----------
    t : (steps,), in s
    theta : (n, steps), samples in rad
    error : (n, steps), each sample minus the pendulum nearest to it, in rad
    fitted, data : the samples' fitted factors (n,) and the data's true ones (m,), by name; g_over_l gives the colours
    match : the Kolmogorov-Smirnov statistic of each factor
    observed : (steps,), the first sample with the generator's noise on it, in rad
    noise_sd, data_noise_sd : (steps,), SD of the noise as the generator believes it to be, and as it is, in rad
    noisy : whether the samples carry their noise; then both SDs are those of what the nearest pendulum leaves over
    """
    caller = "plots.generator()"
    (t, theta), error = _curves(t, theta, "theta", caller), as_floats(error, "error", caller)
    g_over_l = as_floats(fitted["g_over_l"], "fitted['g_over_l']", caller)
    observed, noise_sd, data_noise_sd = (
        None if x is None else as_floats(x, name, caller)
        for name, x in (("observed", observed), ("noise_sd", noise_sd), ("data_noise_sd", data_noise_sd))
    )
    with style():
        figure = Figure(figsize=(7, 8.2), layout="constrained")
        figure.suptitle(title, x=0.015, ha="left", fontsize=12, fontweight="bold")
        parts: Any = figure.subfigures(3, 1, height_ratios=(1.2, 1, 1), hspace=0.03)
        top, middle, bottom = parts

        ax = top.subplots()
        shown = min(12 if noisy else 30, len(theta))
        draw_trajectories(ax, t, theta[:shown], g_over_l[:shown], dots=noisy)
        span = 1.1 * max(1.6, np.max(np.abs(theta[:shown])), 0 if observed is None else np.max(np.abs(observed)))
        ax.set(xlabel="time (s)", ylabel="angle (rad)", title=f"{shown} samples", ylim=(-span, span))
        if observed is not None:
            ax.plot(t, theta[0], color=VERMILLION, lw=2.2, label="one of them")
            ax.plot(t, observed, ".", ms=4, color=VERMILLION, label="the same with its noise")
            ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.1)
        draw_shade_bar(top, {"ax": ax, "pad": 0.02, "aspect": 25}, r"fitted $g/L$ (1/s$^2$)")

        two = noise_sd is not None
        axes = middle.subplots(1, 2 if two else 1, width_ratios=(1.6, 1) if two else None, squeeze=False)[0]
        ax = axes[0]
        _draw_differences(ax, t, error)
        if two:
            ax = axes[1]
            if data_noise_sd is not None:
                ax.plot(t, data_noise_sd, color=GREY, lw=5, alpha=0.5, label="in the data")
            ax.plot(t, noise_sd, color=VERMILLION, label="in the samples" if noisy else "assumed here")
            quantity, heading = ("difference", "The noise it draws") if noisy else ("noise", "Observation noise")
            ax.set(xlabel="time (s)", ylabel=f"SD of {quantity} (rad)", xlim=_span(t), title=heading)
            largest = max(np.max(np.asarray(sd)) for sd in (noise_sd, data_noise_sd) if sd is not None)
            ax.set_ylim(0, 1.5 * largest)
            ax.legend(loc="upper left", borderaxespad=0.2)

        axes = bottom.subplots(1, len(fitted), squeeze=False)[0]
        for ax, (factor, values) in zip(axes, fitted.items()):
            draw_histograms(ax, values, data[factor])
            ax.set(xlabel=FACTOR_LABELS.get(factor, factor), title=f"KS distance {match[factor]:.3f}")
        axes[0].set_ylabel("density")
        line = Line2D([], [], color=VERMILLION, label="fitted to the samples")
        handles = [Patch(color=PALE, label="the data's factors"), line]
        bottom.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


def _draw_differences(ax: Axes, t: np.ndarray, error: np.ndarray) -> None:
    """What is left of samples when the pendulum nearest to each is taken off: range, median and some of them."""
    low, median, high = np.percentile(error, (5, 50, 95), axis=0)
    largest = max(np.max(np.abs([low, high])), np.max(np.abs(error[:4])))
    units = ((1, "rad"), (1e3, "mrad"), (1e6, "µrad"), (1e9, "nrad"))
    unit, name = next((each for each in units if each[0] * largest > 0.5), units[-1])
    ax.fill_between(t, unit * low, unit * high, color=BLUE, alpha=0.18, lw=0, label="90 % of samples")
    for i, each in enumerate(error[:4]):
        ax.plot(t, unit * each, color=BLUE, lw=0.8, alpha=0.8, label=None if i else "some")
    ax.plot(t, unit * median, color=BLACK, lw=1.4, label="median")
    ax.set(xlabel="time (s)", ylabel=f"difference ({name})", title="Sample minus nearest pendulum")
    ax.set(xlim=_span(t), ylim=(-1.1 * unit * largest, 1.5 * unit * largest))
    ax.legend(loc="upper left", ncols=3, columnspacing=1.2, borderaxespad=0.2)


def draw_shade_bar(figure: Figure, where: Mapping, label: str, limits: Limits = (4, 10)) -> None:
    """The colour scale of `draw_trajectories`; `where` says where, in the words of matplotlib's `colorbar`."""
    bar = figure.colorbar(ScalarMappable(Normalize(*limits), "viridis"), **where)
    bar.set_label(label)
    bar.outline.set_visible(False)


def overview(
    t: Data,
    theta: Mapping[str, np.ndarray],
    shade: Mapping[str, np.ndarray],
    residual: Mapping[str, np.ndarray],
    columns: Columns,
    *,
    title: str,
    subtitles: Mapping[str, str],
    notes: Sequence[str] = (),
    dots: Sequence[str] = (),
) -> Figure:
    """Every generator's samples side by side, and the scoreboard below; for the full width of a page.

    Parameters
    ----------
    t : (steps,), in s
    theta : by generator, (n, steps), in rad
    shade : by generator, (n,), the g/L in 1/s^2 that gives the colour
    residual : by generator, (n,), distance of each sample from the nearest pendulum in rad
    columns : the scoreboard after the names: (heading of two lines, one text per generator)
    subtitles : by generator, what it was given
    notes : lines below the scoreboard
    dots : the generators drawn as dots, and their residuals as rings
    """
    across = 4
    # The key to the colours takes a free cell, or a low row of its own where there is none.
    heights = [1.0] * math.ceil(len(theta) / across) + [0.4] * (len(theta) % across == 0)
    panels_height, board_height = 1.95 * sum(heights) + 0.2, 0.27 * (len(theta) + 2.5) + 0.19 * len(notes)
    theta = {name: as_floats(angles, f"theta[{name!r}]", "overview()") for name, angles in theta.items()}
    shade = {name: as_floats(shade[name], f"shade[{name!r}]", "overview()") for name in theta}
    with style():
        figure = Figure(figsize=(9.6, panels_height + board_height + 0.5), layout="constrained")
        figure.suptitle(title, x=0.008, ha="left", fontsize=13, fontweight="bold")
        parts: Any = figure.subfigures(2, 1, height_ratios=(panels_height, board_height), hspace=0.02)
        panels, board = parts
        grid = panels.subplots(len(heights), across, squeeze=False, height_ratios=heights)
        for cell, (ax, (name, angles)) in enumerate(zip(grid.flat, theta.items())):
            shown = 8 if name in dots else 25
            draw_trajectories(ax, t, angles[:shown], shade[name][:shown], dots=name in dots)
            ax.set_title(name, fontweight="bold", pad=16)
            ax.text(0, 1.03, subtitles[name], transform=ax.transAxes, fontsize=8.5, color="#555555", va="bottom")
            ax.set(ylim=(-2.7, 2.7), yticks=(-2, 0, 2))
            if cell % across:
                ax.tick_params(labelleft=False)
            else:
                ax.set_ylabel("angle (rad)")
            if cell // across == (len(theta) - 1) // across:
                ax.set_xlabel("time (s)")
            else:
                ax.tick_params(labelbottom=False)
        for ax in grid.flat[len(theta) :]:
            ax.axis("off")
        if len(theta) % across:
            key, gap = grid.flat[len(theta)], "\n"
            bar, x, y = (0.08, 0.46, 0.84, 0.08), 0.5, 0.75
        else:
            key, gap = panels.add_subplot(grid[0, 0].get_gridspec()[-1, :]), " "
            bar, x, y = (0.4, 0.55, 0.3, 0.2), 0.2, 0.6
            key.axis("off")
        explained = f"a line's colour is{gap}the $g/L$ fitted to it"
        key.text(x, y, explained, ha="center", va="center", transform=key.transAxes)
        place = {"cax": key.inset_axes(bar), "orientation": "horizontal"}
        draw_shade_bar(panels, place, rf"$g/L$ (1/s$^2$),{gap}long rods to short ones")
        draw_scoreboard(board.add_axes((0.006, 0.01, 0.988, 0.98)), list(theta), residual, columns, notes, dots)
    return figure


def draw_scoreboard(
    ax: Axes,
    names: Sequence[str],
    residual: Mapping[str, np.ndarray],
    columns: Columns,
    notes: Sequence[str] = (),
    rings: Sequence[str] = (),
) -> None:
    """A table in the manner of a book: names, a strip with each residual's median and range, and columns of text.

    The medians of the generators in `rings` are drawn as rings.
    """
    n = len(names)
    bottom, top = n + 0.2 + 0.7 * len(notes), -1.9  # rows are one unit high, and the first begins at 0
    ax.axis("off")
    ax.set(xlim=(0, 1), ylim=(bottom, top))
    left, right = 0.21, 0.46
    # A symbol such as $g/L$ is about as wide as two letters.
    widths = [
        2.2 + max(len(line) for line in [*re.sub(r"\$.*?\$", "xx", heading).split("\n"), *cells])
        for heading, cells in columns
    ]
    edges = right + (0.997 - right) * np.cumsum(widths) / sum(widths)
    for y, width in ((-1.85, 1.2), (-0.12, 0.6), (n - 0.05, 1.2)):
        ax.plot((0, 1), (y, y), color=BLACK, lw=width, clip_on=False)
    text: dict[str, Any] = {"va": "center", "fontsize": 9.5}
    ax.text(0, -1.0, "generator", fontweight="bold", **text)
    for x, (heading, cells) in zip(edges, columns):
        ax.text(x, -1.0, heading, ha="right", fontweight="bold", linespacing=1.3, **text)
        for y, cell in enumerate(cells):
            ax.text(x, y + 0.45, cell, ha="right", **text)
    for y, name in enumerate(names):
        ax.text(0, y + 0.45, name, **text)
    for line, note in enumerate(notes):
        ax.text(0, n + 0.45 + 0.7 * line, note, fontsize=8.5, va="center", color="#444444")

    strip = ax.inset_axes((left, (bottom - n) / (bottom - top), right - left, n / (bottom - top)))
    floor, ceiling = 1e-4, 1.0
    strip.set(xscale="log", xlim=(floor, ceiling), ylim=(n, 0), yticks=[])
    for y, name in enumerate(names):
        values = as_floats(residual[name], f"residual[{name!r}]", "draw_scoreboard()")
        low, middle, high = np.percentile(np.clip(values, floor, ceiling), (5, 50, 95))
        strip.plot((low, high), (y + 0.45, y + 0.45), color=BLUE, lw=5, alpha=0.3, solid_capstyle="butt")
        # An arrow head says that the true place is further out.
        look: dict[str, Any] = {"color": BLUE, "ms": 5.5, "clip_on": False} | (
            {"mfc": "white", "mew": 1.4} if name in rings else {}
        )
        strip.plot(middle, y + 0.45, {floor: "<", ceiling: ">"}.get(middle, "o"), **look)
    strip.grid(axis="x")
    for side in ("left", "bottom"):
        strip.spines[side].set_visible(False)
    strip.patch.set_visible(False)
    strip.minorticks_off()
    strip.tick_params(axis="x", length=0, labelsize=8, labeltop=True, labelbottom=False, pad=2)
    strip.set_xticks((1e-4, 1e-3, 1e-2, 1e-1, 1), ("0.0001", "0.001", "0.01", "0.1", "1"))
    ax.text((left + right) / 2, -1.35, "physics residual (rad)", ha="center", fontweight="bold", **text)


# The tape of a tensor. Lengths in inches, sizes of letters in points.
LINE, PADDING = 0.145, 0.07
BETWEEN_BOXES, BETWEEN_ROWS = 0.2, 0.27
LETTERS = (9.0, 7.5)  # what it is; its numbers
LOOKS = {  # frame, ground
    "leaf": (BLUE, "#DCEBF5"),
    "constant": (GREY, "#F1F1F1"),
    "operation": ("#555555", "white"),
    "result": (VERMILLION, "#FBE7DB"),
}
CALLED = {"leaf": "leaf", "constant": "constant", "operation": "computed", "result": "result"}


def graph(
    y: Tensor, names: Module | Mapping | None = None, *, gradients: bool = False, title: str | None = None
) -> Figure:
    """The tape of y from top to bottom: what was computed from what, with shapes and small values.

    Gradients stand in vermillion: those that `backward` has left on leaves or, with `gradients`, the derivative of the
    scalar y by everything. Arrows come in from the left to the right in the order of the arguments where that matters.
    Readable up to some 60 boxes. `minigen.debug.describe` writes the same as text.

    Parameters
    ----------
    names : a module, whose parameters are then called by their names; or a dict from names to tensors, arrays and
        modules, such as {"x": x, "net": net}.

    Raises ValueError if y is not on the tape.
    """
    steps = steps_of(y, names, gradients=gradients)
    texts = [_words(step) for step in steps]
    kinds = [*(step.kind for step in steps[:-1]), "result"]
    widths = [_box_width(lines, len(step.inputs)) for lines, step in zip(texts, steps)]
    heights = [LINE * len(lines) + PADDING for lines in texts]
    edges = [(start, end) for end, step in enumerate(steps) for start in step.inputs]
    places = layered(widths, edges, BETWEEN_BOXES, _ports(steps))
    tops = _tops(places.layer, heights)
    middles = [(tops[k] + tops[k + 1] + BETWEEN_ROWS) / 2 for k in places.layer]
    boxes = [Box(*box) for box in zip(places.x, middles, widths, heights)]
    keys, key_places = _key_of(kinds)
    left, right = _sides(places, widths, key_places[-1])
    bottom, top = tops[-1] + BETWEEN_ROWS - 0.12, 0.42 + (0.3 if title else 0.0)
    with style():
        figure = Figure(figsize=(right - left, top - bottom))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.axis("off")
        ax.set(xlim=(left, right), ylim=(bottom, top))
        for step, box, lines, kind in zip(steps, boxes, texts, kinds):
            _draw_box(ax, box, lines, kind, step.gradient is not None)
        for edge, bends, arrival in zip(edges, places.bends, _arrivals(steps, edges, places, boxes)):
            _draw_arrow(ax, boxes, edge, bends, arrival, tops[places.layer[edge[0]] + 1 :])
        ax.text(left + 0.1, top - 0.08, title or "", va="top", fontsize=11, fontweight="bold")
        for place, kind in zip(key_places, keys):
            _draw_key(ax, left + place, 0.24, kind)
    return figure


class Box(NamedTuple):
    """The middle, width and height of a box."""

    x: float
    y: float
    width: float
    height: float


def _ports(steps: Sequence[Step]) -> list[float]:
    """Where, from 0 to below 1, the arrow of each argument of each step arrives; 0 where the order does not matter."""
    return [k / len(step.inputs) if step.ordered else 0.0 for step in steps for k in range(len(step.inputs))]


def _box_width(lines: Sequence[str], inputs: int) -> float:
    return max(*map(_text_width, lines, _sizes(lines)), 0.15 * (inputs - 1)) + 2 * PADDING


def _sides(places: Layout, widths: Sequence[float], least: float) -> tuple[float, float]:
    """The left and the right side of the picture, `least` apart or more."""
    bends = [x for each in places.bends for x in each]
    left = min([x - width / 2 for x, width in zip(places.x, widths)] + bends) - 0.12
    right = max([x + width / 2 for x, width in zip(places.x, widths)] + bends) + 0.12
    spare = max(0.0, least - (right - left)) / 2
    return left - spare, right + spare


def _words(step: Step) -> list[str]:
    """The lines in a box: what it is, its shape and value, its gradient."""
    shape = "×".join(map(str, step.value.shape))
    value = spelled(step.value)
    second = value if not shape else shape if step.value.size > 3 or not value else f"{shape}:  {value}"
    head = f"{step.name} = {step.title}" if step.name and step.kind == "operation" else step.title
    lines = [head, second]
    if step.gradient is not None:
        lines.append(f"∇ {spelled(step.gradient)}")
    return [lines[0], *(line.replace("-", "−") for line in lines[1:])]


def _sizes(lines: Sequence[str]) -> list[float]:
    return [LETTERS[0], *[LETTERS[1]] * (len(lines) - 1)]


def _text_width(text: str, size: float) -> float:
    return TextPath((0, 0), text.replace("$", r"\$"), size=size).get_extents().width / 72


def _tops(layer: Sequence[int], heights: Sequence[float]) -> list[float]:
    """The upper edge of each row, and below them that of the one that would follow."""
    tall = [max(h for h, k in zip(heights, layer) if k == row) for row in range(max(layer) + 1)]
    return list(-np.concatenate([[0.0], np.cumsum(np.array(tall) + BETWEEN_ROWS)]))


def _arrivals(steps: Sequence[Step], edges: Sequence[Edge], places: Layout, boxes: Sequence[Box]) -> list[float]:
    """Where on its lower box each arrow ends: beside each other, in the order of the arguments where that matters."""
    arrivals = [0.0] * len(edges)
    for end, step in enumerate(steps):
        mine = [i for i, edge in enumerate(edges) if edge[1] == end]
        if not step.ordered:
            mine.sort(key=lambda i: places.bends[i][-1] if places.bends[i] else places.x[edges[i][0]])
        room = min(0.2, (boxes[end].width - 0.16) / max(len(mine) - 1, 1))
        for k, i in enumerate(mine):
            arrivals[i] = boxes[end].x + room * (k - (len(mine) - 1) / 2)
    return arrivals


def _draw_box(ax: Axes, box: Box, lines: Sequence[str], kind: str, sloped: bool) -> None:
    frame, ground = LOOKS[kind]
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    shape = "round,pad=0,rounding_size=0.05"
    ax.add_patch(FancyBboxPatch(corner, box.width, box.height, boxstyle=shape, ec=frame, fc=ground, lw=1.0, zorder=3))
    for k, (line, size) in enumerate(zip(lines, _sizes(lines))):
        colour = VERMILLION if sloped and k == len(lines) - 1 else BLACK if k == 0 else "#555555"
        y = box.y + LINE * ((len(lines) - 1) / 2 - k)
        look: dict[str, Any] = {"fontsize": size, "color": colour, "parse_math": False}
        ax.text(box.x, y, line, ha="center", va="center", zorder=4, **look)


def _draw_arrow(
    ax: Axes, boxes: Sequence[Box], edge: Edge, bends: Sequence[float], arrival: float, tops: Sequence[float]
) -> None:
    """A smooth line down from box to box: straight through the rows that it passes, bent between them.

    `tops` are the upper edges of the rows from the first one below the upper box.
    """
    start, end = (boxes[i] for i in edge)
    points = [(start.x, start.y - start.height / 2), (start.x, tops[0] + BETWEEN_ROWS)]
    codes = [Curve.MOVETO, Curve.LINETO]
    stops = [(x, top, below + BETWEEN_ROWS) for x, top, below in zip(bends, tops, tops[1:])]
    head = end.y + end.height / 2
    for x, top, bottom in [*stops, (arrival, head, head)]:
        above = points[-1]
        half = (above[1] - top) / 2
        points += [(above[0], above[1] - half), (x, top + half), (x, top)]
        codes += [Curve.CURVE4] * 3
        if bottom < top:
            points.append((x, bottom))
            codes.append(Curve.LINETO)
    look: dict[str, Any] = {"arrowstyle": "-|>,head_length=3.2,head_width=1.6", "shrinkA": 0, "shrinkB": 0, "lw": 0.9}
    ax.add_patch(FancyArrowPatch(path=Curve(points, codes), fc="#555555", ec="#555555", zorder=2, **look))


def _key_of(kinds: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The kinds of boxes that there are, and where each stands in the key; last, where the key ends."""
    keys = [kind for kind in CALLED if kind in kinds]
    return keys, np.cumsum([0.1, *(_text_width(CALLED[kind], 8) + 0.42 for kind in keys)])


def _draw_key(ax: Axes, x: float, y: float, kind: str) -> None:
    frame, ground = LOOKS[kind]
    shape = "round,pad=0,rounding_size=0.03"
    ax.add_patch(FancyBboxPatch((x, y - 0.05), 0.16, 0.1, boxstyle=shape, ec=frame, fc=ground, lw=1.0))
    ax.text(x + 0.22, y, CALLED[kind], va="center", fontsize=8, color="#444444")

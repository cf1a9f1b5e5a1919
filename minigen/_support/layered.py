"""Where do the boxes of a directed graph go, so that arrows point down, cross little, and touch no box on their way?

The method of Sugiyama, Tagawa and Toda (1981): layers, order within each layer, places. An edge over several layers is
led through them by a bend in each, which takes its room beside the boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

Edge: TypeAlias = tuple[int, int]
Arrivals: TypeAlias = Mapping[Edge, float]
Place: TypeAlias = tuple[list[int], int]  # a row, and where in it

NOWHERE: Arrivals = MappingProxyType({})
BEND = 0.16  # room that a passing edge takes, in the unit of the widths
ROUNDS = 24  # of the search, for graphs of up to MANY nodes and bends; for larger ones it is a shorter search
MANY = 500


@dataclass
class Layout:
    """`x` of every node's middle; its `layer`, 0 on top; of every edge the x of its bends, one a layer it passes."""

    x: list[float]
    layer: list[int]
    bends: list[list[float]]


def layered(widths: Sequence[float], edges: Sequence[Edge], gap: float, ports: Sequence[float] = ()) -> Layout:
    """Places for nodes of these widths, with `gap` or more between two.

    `edges` are pairs (from, to), without circles; `ports`, from 0 to below 1, say where on the lower node each arrives,
    for edges whose order from the left to the right matters.
    """
    layer = layers_of(len(widths), edges)
    rooms = list(widths)
    levels = list(layer)
    links: list[Edge] = []
    chains = []
    arrival: dict[Edge, float] = {}
    for i, (start, end) in enumerate(edges):
        chain = [start]
        for level in range(layer[start] + 1, layer[end]):
            rooms.append(BEND)
            levels.append(level)
            chain.append(len(rooms) - 1)
        links += zip(chain, [*chain[1:], end])
        chains.append(chain[1:])
        arrival[links[-1]] = ports[i] if ports else 0.0
    rows = _ordered(levels, links, arrival)
    x = _placed(rows, links, rooms, gap, len(widths))
    return Layout(x[: len(widths)], layer, [[x[i] for i in chain] for chain in chains])


def layers_of(n: int, edges: Sequence[Edge]) -> list[int]:
    """The layer of each node: below all it comes from, and a node that comes from nothing right above its first use."""
    above: list[list[int]] = [[] for _ in range(n)]
    below: list[list[int]] = [[] for _ in range(n)]
    for start, end in edges:
        above[end].append(start)
        below[start].append(end)
    layer = [0] * n
    waiting = [len(each) for each in above]
    ready = [i for i in range(n) if not waiting[i]]
    for i in ready:  # which grows meanwhile
        for j in below[i]:
            layer[j] = max(layer[j], layer[i] + 1)
            waiting[j] -= 1
            if not waiting[j]:
                ready.append(j)
    for i in range(n):
        if below[i] and not above[i]:
            layer[i] = min(layer[j] for j in below[i]) - 1
    return layer


def crossings(rows: Sequence[Sequence[int]], links: Sequence[Edge], arrival: Arrivals = NOWHERE) -> int:
    """How many pairs of links cross, each from one row to the next, where `arrival` says where on their lower ends."""
    place = {node: (k, i) for k, row in enumerate(rows) for i, node in enumerate(row)}
    ends: list[list[tuple[float, float]]] = [[] for _ in rows]
    for a, b in links:
        ends[place[a][0]].append((place[a][1], place[b][1] + arrival.get((a, b), 0.0)))
    total = 0
    for pairs in ends:
        starts, stops = np.array(sorted(pairs)).reshape(-1, 2).T
        total += int(np.sum((starts[:, None] < starts) & (stops[:, None] > stops)))
    return total


def _ordered(levels: list[int], links: list[Edge], arrival: Arrivals) -> list[list[int]]:
    """The nodes of each layer from left to right, with few crossings: every node near the middle of its neighbours."""
    rows = [[i for i, level in enumerate(levels) if level == k] for k in range(max(levels) + 1)]
    above: list[list[int]] = [[] for _ in levels]
    below: list[list[int]] = [[] for _ in levels]
    for a, b in links:
        above[b].append(a)
        below[a].append(b)
    best, least = rows, crossings(rows, links, arrival)
    for turn in range(_rounds(levels)):
        rows = [list(row) for row in rows]
        down = turn % 2 == 0
        for k in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            near = rows[k - 1] if down else rows[k + 1]
            # Ties the other way round every second time, so that the search does not stand still.
            rows[k] = _sorted(rows[k], near, above if down else below, arrival, reverse_ties=turn % 4 >= 2)
        _swap(rows, above, below, arrival)
        now = crossings(rows, links, arrival)
        if now < least:
            best, least = rows, now
    return best


def _sorted(row: list[int], near: list[int], ends: list[list[int]], arrival: Arrivals, reverse_ties: bool) -> list[int]:
    """A row in the order of the middles of each node's neighbours in the row `near`; `ends` has the neighbours."""
    there, here = _shares(near), _shares(row)
    port = 1 / len(near)
    middle = {i: _mean([there[j] + port * arrival.get((i, j), 0.0) for j in ends[i]], here[i]) for i in row}
    return sorted(row, key=lambda i: (middle[i], -here[i] if reverse_ties else here[i]))


def _shares(row: Sequence[int]) -> dict[int, float]:
    """Where each node of a row stands, from 0 to 1."""
    return {node: (i + 0.5) / len(row) for i, node in enumerate(row)}


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _swap(rows: list[list[int]], above: list[list[int]], below: list[list[int]], arrival: Arrivals) -> None:
    """Swap neighbours in a row wherever that takes crossings away."""
    place = {node: i for row in rows for i, node in enumerate(row)}

    def crossed(left: int, right: int) -> int:
        up = sum(place[a] > place[b] for a in above[left] for b in above[right])
        ends = ([place[b] + arrival.get((a, b), 0.0) for b in below[a]] for a in (left, right))
        return up + sum(a > b for a, b in product(*ends))

    for row in rows:
        for i in range(len(row) - 1):
            left, right = row[i], row[i + 1]
            if crossed(right, left) < crossed(left, right):
                row[i], row[i + 1] = right, left
                place[left], place[right] = i + 1, i


def _rounds(nodes: Sequence) -> int:
    """How often to go through all nodes."""
    return ROUNDS if len(nodes) <= MANY else max(4, ROUNDS * MANY // len(nodes))


def _placed(rows: list[list[int]], links: list[Edge], rooms: list[float], gap: float, n_nodes: int) -> list[float]:
    """x of every node: near its neighbours above and below, in its row's order, with room for each."""
    neighbours: list[list[int]] = [[] for _ in rooms]
    for a, b in links:
        neighbours[a].append(b)
        neighbours[b].append(a)
    x = np.zeros(len(rooms))
    for row in rows:
        x[row] = _spaced(np.zeros(len(row)), np.ones(len(row)), row, rooms, gap)
    _pull(x, rows, neighbours, rooms, gap, n_nodes)
    lines = _lines(links, neighbours, n_nodes)
    place = {node: (row, i) for row in rows for i, node in enumerate(row)}
    for _ in range(6):
        for line in lines:
            _straighten(x, line, place, rooms, gap)
    return x.tolist()


def _pull(
    x: np.ndarray, rows: list[list[int]], neighbours: list[list[int]], rooms: list[float], gap: float, n_nodes: int
) -> None:
    """Bring every node near the weighted mean of its neighbours, row by row, downwards and upwards in turn."""
    weight = [1.0 if i < n_nodes else 3.0 for i in range(len(rooms))]  # bends make for straight lines
    total = [sum(weight[j] for j in near) for near in neighbours]
    strengths = [np.array([weight[i] * max(len(neighbours[i]), 0.1) for i in row]) for row in rows]

    def wanted(i: int, at: list[float]) -> float:
        near = neighbours[i]
        return sum(weight[j] * at[j] for j in near) / total[i] if near else at[i]

    for turn in range(2 * _rounds(rooms)):
        for k in range(len(rows)) if turn % 2 == 0 else reversed(range(len(rows))):
            at, row = x.tolist(), rows[k]
            x[row] = _spaced(np.array([wanted(i, at) for i in row]), strengths[k], row, rooms, gap)


def _lines(links: list[Edge], neighbours: list[list[int]], n_nodes: int) -> list[list[int]]:
    """Paths that shall be straight, each node on one: first the bends of long edges, then boxes one below another."""
    heir: dict[int, int] = {}
    taken: set[int] = set()
    for both in (lambda a, b: a >= n_nodes and b >= n_nodes, lambda a, b: a < n_nodes and b < n_nodes):
        for a, b in links:
            if both(a, b) and a not in heir and b not in taken and len(neighbours[a]) > 1:
                heir[a] = b
                taken.add(b)
    lines = []
    for start in sorted(heir.keys() - taken):
        line = [start]
        while line[-1] in heir:
            line.append(heir[line[-1]])
        lines.append(line)
    return sorted(lines, key=lambda line: -len(line))


def _straighten(x: np.ndarray, line: list[int], place: Mapping[int, Place], rooms: list[float], gap: float) -> None:
    """Bring the nodes of a line to one x, or where their neighbours leave no room for that to as few as may be."""
    free = [_free(x, node, place, rooms, gap) for node in line]
    start = 0
    while start < len(line):
        (low, high), stop = free[start], start + 1
        while stop < len(line) and max(low, free[stop][0]) <= min(high, free[stop][1]):
            low, high = max(low, free[stop][0]), min(high, free[stop][1])
            stop += 1
        part = line[start:stop]
        x[part] = np.clip(np.median(x[part]), low, high)
        start = stop


def _free(x: np.ndarray, node: int, place: Mapping[int, Place], rooms: list[float], gap: float) -> tuple[float, float]:
    """From where to where a node may go between its neighbours in the row."""
    row, i = place[node]
    low, high = -np.inf, np.inf
    if i > 0:
        low = x[row[i - 1]] + (rooms[row[i - 1]] + rooms[node]) / 2 + gap
    if i < len(row) - 1:
        high = x[row[i + 1]] - (rooms[row[i + 1]] + rooms[node]) / 2 - gap
    return min(low, x[node]), max(high, x[node])


def _spaced(wanted: np.ndarray, strength: np.ndarray, row: list[int], rooms: list[float], gap: float) -> np.ndarray:
    """The places nearest to the wanted ones, by weighted squares, that keep order and distances.

    Less the distances it is a regression that may not fall: neighbours that would fall are pooled at their mean.
    """
    half = np.array([rooms[i] / 2 for i in row])
    offsets = np.concatenate([[0.0], np.cumsum(half[:-1] + half[1:] + gap)])
    pools: list[list[float]] = []  # mean, weight, number
    for value, weight in zip(wanted - offsets, strength):
        pools.append([value, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, heavy, number = pools.pop()
            last = pools[-1]
            last[0] = (last[0] * last[1] + mean * heavy) / (last[1] + heavy)
            last[1] += heavy
            last[2] += number
    return offsets + np.concatenate([np.full(int(number), mean) for mean, _, number in pools])

"""Is the picture of a tape right and readable: every arrow between its boxes, nothing over anything else?"""

import itertools
import time

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import minigen
from minigen import debug, nn, ops, plots
from minigen._support.layered import BEND, crossings, layered, layers_of

R = np.random.default_rng


def numbers():
    a, b, c = (minigen.tensor(v, requires_grad=True) for v in (2.0, -3.0, 10.0))
    return a * b + c, {"a": a, "b": b, "c": c}


def mlp():
    net, x, t = nn.MLP([2, 3, 1], "tanh", rng=R(0)), R(1).standard_normal((8, 2)), R(2).standard_normal((8, 1))
    loss = ops.mse(net(x.astype(np.float32)), t.astype(np.float32))
    net.zero_grad()
    loss.backward()
    return loss, net


def vae():
    r = R(0)
    enc, dec = nn.MLP([5, 8, 4], "relu", rng=r), nn.MLP([2, 8, 5], "relu", rng=r)
    log_sd, x = minigen.tensor(np.zeros(5, np.float32), requires_grad=True), r.standard_normal((16, 5), np.float32)
    h = enc(x)
    mean, log_s = h[:, :2], h[:, 2:]
    z = mean + ops.exp(log_s) * r.standard_normal((16, 2), np.float32)
    misfit = ops.mean(ops.sum(((x - dec(z)) * ops.exp(-log_sd)) ** 2 * 0.5 + log_sd, axis=1))
    kl = ops.mean(ops.sum(0.5 * (mean**2 + ops.exp(2 * log_s) - 1.0) - log_s, axis=1))
    loss = misfit + kl
    loss.backward()
    return loss, {"x": x, "enc": enc, "dec": dec, "log_sd": log_sd, "KL": kl}


def critic():
    """Fifty boxes: losses on real and fake data, and a gradient penalty, which holds a sweep of its own."""
    r = R(0)
    net = nn.MLP([3, 5, 5, 5, 1], "softplus", rng=r)
    real = minigen.tensor(r.standard_normal((6, 3), np.float32), requires_grad=True)
    slope = minigen.grad(ops.sum(net(real)), real, create_graph=True)
    penalty = ops.mean((ops.norm(slope, axis=1) - 1.0) ** 2)
    fake = r.standard_normal((6, 3), np.float32)
    return ops.mean(ops.softplus(net(fake))) + ops.mean(ops.softplus(-net(real))) + 10.0 * penalty, {"net": net}


def chain():
    v = u = minigen.tensor(np.ones(4), requires_grad=True)
    for k in range(10):
        v = ops.tanh(v) * u + 0.1 * k
    return ops.sum(v * v), {"u": u}


def random_program(seed):
    r = R(seed)
    values = [minigen.tensor(r.standard_normal(2), requires_grad=True) for _ in range(3)]
    for _ in range(int(r.integers(5, 40))):
        a, b = (values[i] for i in r.integers(max(0, len(values) - 12), len(values), 2))
        values.append([a + b, a * b, ops.sin(a), a - 0.5 * b][r.integers(4)])
    return ops.sum(sum(values[1:], start=values[0])), None


PROGRAMS = {f.__name__: f for f in (numbers, mlp, vae, critic, chain)}
PROGRAMS |= {f"random {seed}": lambda seed=seed: random_program(seed) for seed in range(6)}


def drawn(figure):
    """Boxes as [left, bottom, right, top] in inches, texts with their boxes, and arrows as points along them."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (ax,) = figure.axes
    to_inches = ax.transData.inverted()
    boxes, arrows = [], []
    for patch in ax.patches:
        if isinstance(patch, FancyArrowPatch):
            path = patch.get_path()  # the line and its head
            arrows.append(path.interpolated(1).to_polygons(closed_only=False)[0])
        elif isinstance(patch, FancyBboxPatch):
            boxes.append(np.array([*patch.get_bbox().min, *patch.get_bbox().max]))
    extents = [
        (text.get_text(), text.get_window_extent(canvas.get_renderer()).transformed(to_inches)) for text in ax.texts
    ]
    return boxes, arrows, [(text, np.array([*box.min, *box.max])) for text, box in extents]


def overlap(a, b, margin=0.0):
    return bool(np.all(a[:2] + margin < b[2:]) and np.all(b[:2] + margin < a[2:]))


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_nothing_lies_over_anything_else(program, gradients):
    y, names = program()
    steps = debug.steps_of(y, names, gradients=gradients)
    figure = plots.graph(y, names, gradients=gradients, title="What is drawn here")
    boxes, arrows, texts = drawn(figure)
    keys = len(boxes) - len(steps)
    assert 1 <= keys <= 4 and len(arrows) == sum(len(step.inputs) for step in steps)
    for a, b in itertools.combinations(boxes, 2):
        assert not overlap(a, b)
    for (_, a), (_, b) in itertools.combinations(texts, 2):
        assert not overlap(a, b, 0.02)
    width, height = figure.get_size_inches()
    left, right = figure.axes[0].get_xlim()
    bottom, top = figure.axes[0].get_ylim()
    assert right - left == pytest.approx(width) and top - bottom == pytest.approx(height)
    for text, box in texts:
        assert left < box[0] and box[2] < right and bottom < box[1] and box[3] < top, text
        inside = [b for b in boxes if np.all(b[:2] - 0.01 <= box[:2]) and np.all(box[2:] <= b[2:] + 0.01)]
        assert inside or box[1] > 0.1, text  # in a box, or in the title and the key above all
    for points in arrows:
        for box in boxes:
            within = np.all((points > box[:2] + 0.02) & (points < box[2:] - 0.02), axis=1)
            assert not within.any()
    assert all(text.get_fontsize() >= 7.5 for text in figure.axes[0].texts)


def test_every_arrow_goes_down_from_its_box_to_its_box():
    y, names = vae()
    steps = debug.steps_of(y, names)
    boxes, arrows, _ = drawn(plots.graph(y, names))
    edges = [(start, end) for end, step in enumerate(steps) for start in step.inputs]
    for (start, end), points in zip(edges, arrows, strict=True):
        a, b = boxes[start], boxes[end]
        assert points[0][1] == pytest.approx(a[1], abs=0.02) and a[0] < points[0][0] < a[2]
        assert points[-1][1] == pytest.approx(b[3], abs=0.1) and b[0] < points[-1][0] < b[2]
        assert np.all(np.diff(points[:, 1]) <= 1e-9)


def test_names_shapes_values_and_gradients_are_written():
    y, names = numbers()
    y.backward()
    _, _, texts = drawn(plots.graph(y, names))
    written = [text for text, _ in texts]
    assert {"a", "b", "c", "×", "+", "2", "−3", "10", "−6", "4", "∇ −3", "∇ 2", "∇ 1"} <= set(written)
    loss, net = mlp()
    written = {text for text, _ in drawn(plots.graph(loss, net))[2]}
    assert {*net.named_parameters(), "linear tanh", "mse", "3×2", "8×1"} <= written


def test_the_arguments_of_a_difference_come_in_their_order():
    a, b = (minigen.tensor(v, requires_grad=True) for v in (1.0, 2.0))
    for y, first in ((a - b, 0), (b - a, 1)):
        boxes, arrows, _ = drawn(plots.graph(y, {"a": a, "b": b}))
        ends = {
            int(np.argmin([abs(points[0][0] - (box[0] + box[2]) / 2) for box in boxes[:2]])): points[-1][0]
            for points in arrows
        }
        assert ends[first] < ends[1 - first]


def test_a_tree_has_no_crossings_and_a_layer_lies_below_what_it_needs():
    # A complete binary tree, numbered by heap order and given shuffled.
    n = 31
    order = R(0).permutation(n)
    edges = [(int(order[i]), int(order[(i - 1) // 2])) for i in range(1, n)]
    layer = layers_of(n, edges)
    assert all(layer[a] == layer[b] - 1 for a, b in edges)
    places = layered([1.0] * n, edges, 0.2)
    rows = [sorted((i for i in range(n) if layer[i] == k), key=lambda i: places.x[i]) for k in range(max(layer) + 1)]
    assert crossings(rows, edges) == 0
    for row in rows:
        gaps = np.diff([places.x[i] for i in row])
        assert np.all(gaps >= 1.2 - 1e-9)


def test_a_leaf_used_by_two_hundred_operations_is_led_to_each_in_seconds():
    leaf, chain = 0, 1
    edges = [(chain + k, chain + k + 1) for k in range(200)] + [(leaf, chain + k) for k in range(201)]
    start = time.process_time()
    places = layered([1.0] * 202, edges, 0.2)
    assert time.process_time() - start < 15  # 5 s where they were 30
    assert [len(bends) for bends in places.bends] == [places.layer[b] - places.layer[a] - 1 for a, b in edges]
    for layer in range(max(places.layer) + 1):
        at = [(x, 1.0) for x, k in zip(places.x, places.layer) if k == layer]
        for (a, _), bends in zip(edges, places.bends):
            at += [(x, BEND) for k, x in enumerate(bends) if places.layer[a] + 1 + k == layer]
        at.sort()
        assert all(b - a >= (p + q) / 2 + 0.2 - 1e-6 for (a, p), (b, q) in itertools.pairwise(at))


def test_crossings_are_counted():
    assert crossings([[0, 1, 2], [3, 4, 5]], [(0, 5), (1, 4), (2, 3)]) == 3
    assert crossings([[0, 1], [2]], [(0, 2), (1, 2)]) == 0
    assert crossings([[0, 1], [2]], [(0, 2), (1, 2)], {(0, 2): 0.5}) == 1


def test_the_usual_losses_cross_little():
    """Bounds for the pictures that were looked at; a worse order of the layers exceeds them."""
    for program, most in ((numbers, 0), (mlp, 0), (vae, 6), (chain, 0)):
        y, names = program()
        steps = debug.steps_of(y, names)
        edges = [(start, end) for end, step in enumerate(steps) for start in step.inputs]
        places = layered([1.0] * len(steps), edges, 0.2)
        assert count_of_crossings(places, edges) <= most


def count_of_crossings(places, edges):
    paths = [
        {places.layer[a] + k: x for k, x in enumerate([places.x[a], *bends, places.x[b]])}
        for (a, b), bends in zip(edges, places.bends)
    ]
    return sum(
        (p[k] - q[k]) * (p[k + 1] - q[k + 1]) < -1e-12
        for p, q in itertools.combinations(paths, 2)
        for k in p.keys() & q.keys()
        if k + 1 in p and k + 1 in q
    )


def test_a_leaf_alone_and_a_square():
    x = minigen.tensor(2.0, requires_grad=True)
    assert len(drawn(plots.graph(x, {"x": x}))[0]) == 2
    assert len(drawn(plots.graph(x * x))[1]) == 2
    with pytest.raises(ValueError, match="not on the tape"):
        plots.graph(minigen.tensor(1.0))


def test_dollars_in_names_are_letters():
    x = minigen.tensor(2.0, requires_grad=True)
    texts = drawn(plots.graph(x * 3.0, {"$x$": x}))[2]
    assert "$x$" in [text for text, _ in texts]


def test_it_is_saved_as_a_picture(tmp_path):
    path = plots.save(plots.graph(*numbers()), tmp_path / "graph.png")
    assert path.read_bytes().startswith(b"\x89PNG")


# Data of any kind


KINDS = {
    "list": lambda x: x.tolist(),
    "tensor": minigen.tensor,
    "half": lambda x: x.astype(np.float16),
    "other order of bytes": lambda x: x.astype(">f8"),
    "objects": lambda x: x.astype(object),
    "unsigned": lambda x: x.astype(np.uint8),
    "Fortran": np.asfortranarray,
}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_take_numbers_of_any_kind(kind):
    of = KINDS[kind]
    t, theta = np.arange(4.0), np.array([[0.0, 2, 1, 3], [3, 1, 2, 0]])
    figure = plots.Figure()
    lines, dots, histogram = figure.subplots(3)
    plots.draw_trajectories(lines, of(t), of(theta), of(np.array([4.0, 9])))
    np.testing.assert_array_equal(lines.collections[0].get_segments()[0], np.c_[t, theta[0]])
    assert lines.get_xlim() == (0, 4)
    plots.draw_trajectories(dots, of(t), of(theta), dots=True)
    np.testing.assert_array_equal(dots.collections[0].get_offsets()[4:], np.c_[t, theta[1]])
    plots.draw_histograms(histogram, of(theta[0]), of(theta[1]), bins=3)
    area = histogram.patches[0].get_data()
    assert np.sum(area.values * np.diff(area.edges)) == pytest.approx(1) and np.argmax(area.values > 0) == 5
    factors = {"g_over_l": of(np.array([4.0, 9]))}
    picture = plots.generator(
        of(t), of(theta), of(theta), factors, factors, {"g_over_l": 0.5}, title="", observed=of(theta[0])
    )
    assert isinstance(picture, plots.Figure)
    both = {"a": of(theta)}, {"a": factors["g_over_l"]}, {"a": of(theta[0])}
    assert isinstance(plots.overview(of(t), *both, [("x", ["1"])], title="", subtitles={"a": ""}), plots.Figure)


def test_equal_values_have_a_histogram():
    ax = plots.Figure().subplots()
    plots.draw_histograms(ax, [2.0, 2.0], [2.0, 2.0, 2.0])
    area = ax.patches[0].get_data()
    assert np.sum(area.values * np.diff(area.edges)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda ax: plots.draw_trajectories(ax, [0, 1], [[1, 2, 3]]), ["theta of shape (1, 3)", "(n, steps)"]),
        (lambda ax: plots.draw_trajectories(ax, [0, 1], [["a", "b"]]), ["theta", "real numbers"]),
        (lambda ax: plots.draw_trajectories(ax, [0, 1], np.ma.array([[1, 2]], mask=[[0, 1]])), ["1 masked"]),
        (lambda ax: plots.draw_histograms(ax, [1.0], [np.nan]), ["data without a finite value"]),
        (lambda ax: plots.draw_histograms(ax, [1.0 + 1j], [1.0]), ["generated", "real numbers"]),
    ],
)
def test_what_cannot_be_drawn_is_named(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(plots.Figure().subplots())
    assert all(word in str(caught.value) for word in words), str(caught.value)

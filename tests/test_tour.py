"""The tour in quick mode: what it writes, what its numbers say, and what a new row may do to it."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from minigen import tour

MODELS = ("physicist", "regressor", "probabilistic_regressor", "clipped_wgan", "gan", "energy_gan")
MODELS += ("energy_gan_mala", "vae", "vae_beta_10")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Folder, scoreboard and printed text of one quick tour, run as a user would."""
    folder = tmp_path_factory.mktemp("tour")
    out = folder / "deep" / "down"
    command = [sys.executable, "-m", "minigen", "tour", "--quick", "--seed", "3", "--out", out]
    ran = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=300, check=True)
    assert ran.stderr == ""
    return out, json.loads((out / "scoreboard.json").read_text()), ran.stdout


@pytest.fixture
def rows(quick):
    return {row["name"]: row for row in quick[1]["rows"]}


def test_figures_are_written_and_nothing_touches_their_edge(quick):
    out, _, _ = quick
    assert {path.name for path in out.iterdir()} == {"scoreboard.json", "overview.png", *(f"{m}.png" for m in MODELS)}
    for path in out.glob("*.png"):
        picture = matplotlib.image.imread(path)[..., :3]
        assert min(picture.shape[:2]) > 700
        assert picture.std() > 0.05
        edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
        assert all(np.all(edge == 1) for edge in edges), f"{path.name} is cut off"


def test_scoreboard_says_what_it_measured(quick, rows):
    _, scores, _ = quick
    assert scores["seed"] == 3 and scores["quick"] is True
    assert set(scores["units"]) == {"residual", "factor_ks", "neighbour_ratio", "seconds"}
    assert list(rows) == [row.name for row in tour.ROWS]
    for row in rows.values():
        assert list(row["factor_ks"]) == ["theta0", "omega0", "g_over_l"]
        assert row["factor_ks_mean"] == pytest.approx(np.mean(list(row["factor_ks"].values())))
        low, high = row["residual_5_95_rad"]
        assert 0 <= low <= row["residual_median_rad"] <= high
    assert all(rows[name]["seconds"] > 0 for name in ("regressor", "GAN", "VAE"))


def test_scores_order_the_generators_as_they_must(quick, rows):
    residual = {name: row["residual_median_rad"] for name, row in rows.items()}
    assert residual["data, true motion"] < 1e-6
    assert residual["physicist"] < 1e-6
    # The noise has SD 0.1 t over 5 s; the fit of three factors takes a little of it away.
    assert residual["data, as observed"] == pytest.approx(0.1 * 5 / np.sqrt(3), rel=0.1)
    assert residual["shuffled control"] > 0.4
    for name in ("regressor", "probabilistic regressor", "VAE", "VAE beta 10"):
        assert residual[name] < 0.15 * residual["shuffled control"]
    # A GAN draws the noise too, and is to be judged by noisy data.
    assert residual["GAN"] == pytest.approx(residual["data, as observed"], rel=0.25)
    assert rows["GAN"]["neighbour_ratio"] == pytest.approx(1, abs=0.15)
    assert rows["GAN"]["factor_ks_mean"] < 0.5 * rows["clipped WGAN"]["factor_ks_mean"]
    for name in ("energy GAN", "energy GAN + MALA"):
        assert 0.5 * residual["data, as observed"] < residual[name] < 1.25 * residual["data, as observed"]
        assert rows[name]["factor_ks_mean"] < rows["clipped WGAN"]["factor_ks_mean"]
    for name in ("data, true motion", "data, as observed", "physicist"):
        assert rows[name]["neighbour_ratio"] == pytest.approx(1, abs=0.15)
        assert rows[name]["factor_ks_mean"] < quick[1]["factor_ks_chance"]
    assert rows["shuffled control"]["neighbour_ratio"] > 5
    assert rows["shuffled control"]["factor_ks_mean"] > 0.3


def test_printed_table_fits_the_terminal(quick):
    out, scores, printed = quick
    for width in (80, 120):
        lines = tour.table(scores, width).splitlines()
        assert max(map(len, lines)) <= width
        for row in scores["rows"]:
            (line,) = [line for line in lines if line.startswith(f"{row['name']:<24}")]
            assert f"{row['factor_ks']['omega0']:.3f}" in line
            assert (row["given"] in line) == (width == 120)
    assert tour.table(scores, 80) in printed
    assert str(out) in printed


def test_same_seed_same_numbers_whatever_the_other_rows(quick, rows, tmp_path, monkeypatch):
    few = [row for row in tour.ROWS if row.name in ("VAE", "shuffled control")]
    monkeypatch.setattr(tour, "ROWS", few)
    again = tour.run(tmp_path, seed=3, quick=True, progress=False)
    for row in again["rows"]:
        assert row | {"seconds": 0} == rows[row["name"]] | {"seconds": 0}
    other = tour.run(tmp_path, seed=4, quick=True, progress=False)
    assert other["rows"][0]["residual_median_rad"] != again["rows"][0]["residual_median_rad"]


def test_a_new_row_is_one_function_and_may_fail_to_be_a_pendulum(tmp_path, monkeypatch):
    def lost(data, rng, quick, progress):
        return tour.Samples(np.full_like(data.held_out.theta, np.nan))

    def half_lost(data, rng, quick, progress):
        theta = data.held_out.clean.copy()
        theta[::2] = np.inf
        return tour.Samples(theta)

    new = [tour.Row("lost", "nothing", lost), tour.Row("half lost", "a little", half_lost)]
    monkeypatch.setattr(tour, "ROWS", new)
    scores = tour.run(tmp_path, quick=True, progress=False)
    first, second = scores["rows"]
    assert first["residual_median_rad"] is None and first["neighbour_ratio"] is None
    assert second["factor_ks"]["theta0"] >= 0.5
    assert "no fit" in tour.table(scores)
    assert json.loads((tmp_path / "scoreboard.json").read_text())["rows"] == scores["rows"]
    assert {path.name for path in tmp_path.iterdir()} == {"scoreboard.json", "overview.png", "half_lost.png"}


def test_rows_with_the_same_training_share_it_and_each_alone_gives_the_same():
    data = tour.make_data(np.random.default_rng(0), quick=True)
    both = [row for row in tour.ROWS if row.learn is tour.learn_energy_gan]
    learned = {}
    together = [tour.generate(row, data, 5, True, False, learned).theta for row in both]
    assert len(both) == 2 and len(learned) == 1
    alone = tour.generate(both[1], data, 5, True, False, {}).theta
    np.testing.assert_array_equal(alone, together[1])
    assert not np.allclose(together[0], together[1])


def test_interrupt_during_training_ends_the_tour(tmp_path, monkeypatch):
    monkeypatch.setattr(tour, "ROWS", [row for row in tour.ROWS if row.name == "VAE"])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a process of the background
    timer = threading.Timer(1.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            tour.run(tmp_path, progress=False)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert not list(Path(tmp_path).iterdir())


def test_what_cannot_be_saved_leaves_the_scoreboard(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tour, "ROWS", [row for row in tour.ROWS if not row.model])
    monkeypatch.setattr(tour, "warm_up", lambda data: None)
    monkeypatch.setattr(tour, "_save_overview", full)
    with pytest.raises(tour.NotSaved, match="No space left") as caught:
        tour.run(tmp_path, quick=True, progress=False)
    assert "data, true motion" in tour.table(caught.value.scores)


def test_a_gan_draws_the_noise_that_grows_and_the_flat_critic_does_not_teach_it():
    def growth(row):
        theta = row.generate(data, np.random.default_rng(1), True, False).theta
        scatter = tour.scatter(theta, data.train.t)
        return scatter[80:].mean() / scatter[10:30].mean()

    data = tour.make_data(np.random.default_rng(0), quick=True)
    observed, clipped, gan = (
        growth(row) for row in tour.ROWS if row.name in ("data, as observed", "clipped WGAN", "GAN")
    )
    assert observed == pytest.approx(4.4, rel=0.15)  # 0.1 t gives 4.5, of which the fit takes a little
    assert 2 < gan < 1.3 * observed
    assert clipped < 0.5 * observed

"""Models that train on the one loop have what it has: checkpoints that resume bit for bit, validation, Ctrl-C."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from minigen import models, storage


def rng(seed=0):
    return np.random.default_rng(seed)


X = rng(1).standard_normal((60, 2)) @ [[1.0, 0.4], [0.0, 0.7]] + [3.0, -1.0]
HELD_OUT = rng(2).standard_normal((30, 2)) @ [[1.0, 0.4], [0.0, 0.7]] + [3.0, -1.0]
SMALL = {"steps": 40, "batch_size": 16}

MODELS = {
    "regressor with dropout": lambda: models.Regressor((8,), dropout=0.2, **SMALL),
    "gaussian regressor": lambda: models.Regressor((8,), head="gaussian", **SMALL),
    "VAE": lambda: models.VAE(2, (8,), posterior="full", warmup=30, **SMALL),
    "Bernoulli VAE": lambda: models.VAE(2, (8,), decoder="bernoulli", free_bits=0.1, **SMALL),
    "GAN": lambda: models.GAN(2, (8,), critic_hidden=(8,), average=0.9, instance_noise=0.2, record_every=3, **SMALL),
    "spectral GAN": lambda: models.GAN(
        2, (8,), critic_hidden=(8,), spectral=True, critic_steps=2, packing=2, loss="hinge", **SMALL
    ),
    "clipped GAN": lambda: models.GAN(2, (8,), critic_hidden=(8,), loss="wasserstein", clip=0.1, gp=1.0, **SMALL),
    "energy GAN": lambda: models.EnergyGAN(2, (8,), critic_hidden=(8,), entropy_hidden=(8,), record_every=7, **SMALL),
    "energy GAN without entropy": lambda: models.EnergyGAN(2, (8,), entropy=None, critic_hidden=(8,), **SMALL),
    **{
        f"energy model, {method}": lambda method=method, more=more: models.EnergyModel(
            (8,), method=method, **more, **SMALL
        )
        for method, more in {
            "contrastive_divergence": {"chain_steps": 3, "step_size": 0.1},
            "persistent": {"chain_steps": 3, "chains": 32, "restart": 0.3, "restart_from": "data"},
            "denoising": {},
            "noise_contrastive": {},
        }.items()
    },
}
EACH = pytest.mark.parametrize("name", MODELS)


def data_for(name, x=X):
    if "regressor" in name:
        return x[:, :1], x[:, 1:]
    return (1 / (1 + np.exp(-x)),) if "Bernoulli" in name else (x,)


def everything(model):
    """All that was learned, as arrays by name."""
    found = {}
    for name, value in vars(model).items():
        if hasattr(value, "state_dict"):
            found |= {f"{name} {key}": array for key, array in value.state_dict().items()}
        elif hasattr(value, "average") and value.average is not None:
            found[name] = value.average
        elif hasattr(value, "chains"):
            found[name] = value.chains
        elif isinstance(value, np.ndarray):
            found[name] = value
    history = model.history_
    return {**found, "step": history.step, "validation": history.validation, **history.losses}


def assert_same(a, b):
    ours, theirs = everything(a), everything(b)
    assert ours.keys() == theirs.keys() and len(ours) > 3
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@EACH
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("at", [13, 20])
def test_a_resumed_training_is_the_same_bit_for_bit(name, at, tmp_path):
    path = tmp_path / "c.npz"
    straight = MODELS[name]().fit(*data_for(name), rng=rng(3))
    first = MODELS[name]()
    first.fit(*data_for(name), rng=rng(3), checkpoint=path, callbacks=[lambda info: info.step == at])
    assert first.history_.stopped == "callback" and storage.load(path).step == at
    generator = rng(99)  # other weights and draws: all that counts must come from the file
    second = MODELS[name]().fit(*data_for(name), rng=generator, checkpoint=path, resume=True)
    assert_same(straight, second)


@EACH
def test_callbacks_find_the_model_and_ctrl_c_keeps_what_was_learned(name):
    def press(info):
        assert info.model is model and info.history is model.history_ and info.step == len(seen) + 1
        assert not info.parts["module"].training
        seen.append(info.losses)
        if info.step == 7:
            signal.raise_signal(signal.SIGINT)

    before, model, seen = signal.signal(signal.SIGINT, signal.default_int_handler), MODELS[name](), []
    try:
        model.fit(*data_for(name), rng=rng(3), callbacks=[press])
    finally:
        signal.signal(signal.SIGINT, before)
    assert model.history_.stopped == "interrupt" and len(seen) == 7
    short = MODELS[name]().fit(*data_for(name), rng=rng(3), callbacks=[lambda info: info.step == 7])
    assert_same(model, short)


@EACH
def test_looking_at_held_out_data_changes_nothing_and_patience_puts_the_best_back(name):
    if "GAN" in name or "persistent" in name or "divergence" in name:
        pytest.skip("no loss that says how good it is")
    arguments = data_for(name)
    held_out = data_for(name, HELD_OUT)
    held_out = held_out if len(held_out) == 2 else held_out[0]
    plain = MODELS[name]().fit(*arguments, rng=rng(3))
    watched = MODELS[name]().fit(*arguments, rng=rng(3), validation=held_out)
    assert plain.history_.losses == watched.history_.losses and len(watched.history_.validation) == 1
    model = MODELS[name]()
    model.steps = 2000
    model.fit(*arguments, rng=rng(3), validation=held_out, patience=2)
    values = dict(model.history_.validation)
    assert model.history_.best_step == min(values, key=values.get)
    if model.history_.stopped == "patience":
        assert len(values) == model.history_.best_step // 100 + 2


@pytest.mark.parametrize("method", ["persistent", "contrastive_divergence"])
def test_methods_whose_loss_is_no_likelihood_refuse_validation(method):
    with pytest.raises(ValueError, match=rf"validation data with method='{method}'.*leave them out"):
        models.EnergyModel(method=method).fit(X, rng=rng(), validation=HELD_OUT)


@EACH
def test_a_checkpoint_that_cannot_be_written_is_found_before_the_first_step(name, tmp_path):
    steps = []
    with pytest.raises(FileNotFoundError, match="no folder"):
        MODELS[name]().fit(
            *data_for(name), rng=rng(3), checkpoint=tmp_path / "none" / "c.npz", callbacks=[steps.append]
        )
    assert not steps


OTHERS = {
    "generator": lambda: models.GAN(2, (9,), critic_hidden=(8,), average=0.9, **SMALL),
    "critic": lambda: models.GAN(2, (8,), critic_hidden=(9,), average=0.9, **SMALL),
    "kind of GAN": lambda: models.EnergyGAN(2, (8,), critic_hidden=(8,), entropy_hidden=(8,), **SMALL),
    "kind of model": lambda: models.VAE(2, (8,), **SMALL),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_model_is_refused(other, tmp_path):
    path = tmp_path / "c.npz"
    models.GAN(2, (8,), critic_hidden=(8,), average=0.9, **SMALL).fit(X, rng=rng(), checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(storage.CheckpointError, match="does not fit"):
        OTHERS[other]().fit(X, rng=rng(), checkpoint=path, resume=True)
    assert path.read_bytes() == before

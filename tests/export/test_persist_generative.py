"""Generative models and searches for anomalies come back from a file as they were."""

import dataclasses
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skhep_ml.anomaly import CathodeClassifier, CWoLaClassifier, DensityDetector
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.events import Events
from skhep_ml.generative import (
    GAN,
    VAE,
    Autoencoder,
    Diffusion,
    FlowMatching,
    GenerativeUnweighter,
    NormalizingFlow,
)
from skhep_ml.preprocessing import ZScoreScaler
from skhep_ml.reweighting import OmniFold

pytest.importorskip("skops")
pytest.importorskip("safetensors")
from skhep_ml.export import load, save

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 3))
CLOUDS = RNG.normal(size=(40, 4, 2)).astype(np.float32)
CLOUDS[5:20, 2:] = np.nan
IMAGES = RNG.normal(size=(40, 1, 8, 8)).astype(np.float32)
ENERGY = RNG.uniform(1, 5, 40)
FRAME = pd.DataFrame(
    {
        "pt": RNG.exponential(size=100).astype(np.float32),
        "phi": RNG.uniform(-3, 3, 100),
        "n": RNG.integers(0, 5, 100),
        "share": RNG.uniform(0.1, 0.9, 100),
        "gap": np.maximum(RNG.normal(size=100), 0),
        "m": RNG.integers(50, 60, 100),
    }
)
DOMAINS = {
    "pt": "positive",
    "phi": "periodic",
    "n": "integer",
    "share": (0, 1),
    "gap": "nonnegative",
    "m": (10, None),
}
TRAINING = {"max_epochs": 1, "device": "cpu", "random_state": 0}
SMALL = {**TRAINING, "hidden": (4,)}


def through_file(model, folder):
    path = folder / "model.skml"
    save(model, path)
    return load(path)


def columns_of(data):
    """Arrays of what a model sampled, by name."""
    if isinstance(data, Events):
        return {name: np.asarray(data[name]) for name in data}
    if isinstance(data, (pd.DataFrame, pl.DataFrame)):
        return {name: np.asarray(data[name]) for name in data.columns}
    return {"": data}


def assert_same_values(first, second):
    assert type(first) is type(second)
    first, second = columns_of(first), columns_of(second)
    assert list(first) == list(second)
    for name, values in first.items():
        assert second[name].dtype == values.dtype
        np.testing.assert_array_equal(second[name], values)


@pytest.mark.parametrize(
    ("model", "data", "context"),
    [
        (NormalizingFlow(n_transforms=1, n_bins=3, **SMALL), X, None),
        (NormalizingFlow("maf", n_transforms=2, coupling=True, **SMALL), X, None),
        (NormalizingFlow("realnvp", n_transforms=2, **SMALL), X, None),
        (NormalizingFlow(n_transforms=1, n_bins=3, **SMALL), X[:, :1], None),
        (
            NormalizingFlow(
                n_transforms=1, n_bins=3, context_features="m", domains=DOMAINS, **SMALL
            ),
            FRAME,
            FRAME[["m"]],
        ),
        (
            FlowMatching(context_features=["phi"], domains={"phi": "periodic"}, **SMALL),
            pl.from_pandas(FRAME[["pt", "phi", "n"]]),
            [0.5],
        ),
        (
            VAE(2, n_importance=2, **SMALL),
            FRAME[["pt", "n"]].astype({"pt": "Float32", "n": "Int64"}),
            None,
        ),
        (FlowMatching(n_steps=2, **SMALL), CLOUDS, None),
        (
            FlowMatching(n_steps=2, context_features=["energy"], **SMALL),
            Events(clouds=CLOUDS, energy=ENERGY),
            Events(energy=ENERGY),
        ),
        (Diffusion(n_steps=3, n_times=10, early_stopping=True, **SMALL), IMAGES, None),
        (
            Diffusion(
                method="bdt",
                n_levels=3,
                n_noise=1,
                context_features=[0],
                bdt_params={"n_estimators": 2, "nthread": 1},
                random_state=0,
            ),
            X,
            X[:, :1],
        ),
        (VAE(2, kl_annealing=0.5, n_importance=4, **SMALL), CLOUDS, None),
        (VAE(2, n_importance=4, context_features=[2], **SMALL), X, X[:, 2:]),
        (GAN("classic", n_latent=2, n_critic=1, **SMALL), CLOUDS, None),
        (GAN(n_latent=2, **SMALL), IMAGES, None),
        (GenerativeUnweighter(VAE(2, **SMALL), random_state=0), X, None),
        (DensityDetector(GaussianMixture(2, random_state=0)), X, None),
    ],
    ids=lambda thing: type(thing).__name__,
)
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.NetWarning")
def test_models(model, data, context, tmp_path):
    model.fit(data)
    loaded = through_file(model, tmp_path)
    assert type(loaded) is type(model)
    compared = 0
    if hasattr(model, "score_samples"):
        np.testing.assert_array_equal(loaded.score_samples(data), model.score_samples(data))
        compared += 1
    if hasattr(model, "sample"):
        n = 5 if context is None or len(context) == 1 else None
        samples = (m.sample(n, context=context, random_state=3) for m in (model, loaded))
        assert_same_values(*samples)
        compared += 1
    assert compared
    if hasattr(model, "history_"):
        assert loaded.history_ is loaded.net_.history_
        assert loaded.history_.to_list() == model.history_.to_list()


@pytest.mark.parametrize("data", [X, CLOUDS, IMAGES], ids=["table", "clouds", "images"])
def test_autoencoders(data, tmp_path):
    model = Autoencoder(2, **SMALL).fit(data)
    loaded = through_file(model, tmp_path)
    latent = model.transform(data)
    np.testing.assert_array_equal(loaded.transform(data), latent)
    np.testing.assert_array_equal(loaded.inverse_transform(latent), model.inverse_transform(latent))
    np.testing.assert_array_equal(loaded.score_samples(data), model.score_samples(data))


@pytest.mark.parametrize("kind", [CWoLaClassifier, CathodeClassifier])
def test_searches_for_resonances(kind, tmp_path):
    options = {"n_members": 2, "n_splits": 2, "random_state": 0}
    trees = BDTClassifier(n_estimators=2, n_jobs=1, random_state=0)
    if kind is CathodeClassifier:
        options["density"] = NormalizingFlow("realnvp", n_transforms=1, **SMALL)
    event = np.arange(len(X))
    model = kind((-0.5, 0.5), mass=0, estimator=trees, **options).fit(X, groups=event)
    loaded = through_file(model, tmp_path)
    np.testing.assert_array_equal(
        loaded.decision_function(X, groups=event), model.decision_function(X, groups=event)
    )
    with pytest.raises(ValueError, match="identifiers"):
        loaded.predict(X)
    if kind is CathodeClassifier:
        context = {"context": [[0.1]], "random_state": 0}
        for expected, got in zip(model.densities_, loaded.densities_, strict=True):
            np.testing.assert_array_equal(got.sample(**context), expected.sample(**context))


def test_unfolding(tmp_path):
    trees = BDTClassifier(n_estimators=2, n_jobs=1, random_state=0)
    model = OmniFold(trees, n_iterations=2, n_splits=2, n_bootstrap=2, random_state=0)
    event = np.arange(len(X))
    model.fit(X, X + 0.1, X[::-1] + 0.3, sim_groups=event, data_groups=event + 1000)
    loaded = through_file(model, tmp_path)
    for name in ("predict_weights", "replica_weights"):
        expected, got = (getattr(m, name)(X, groups=event) for m in (model, loaded))
        np.testing.assert_array_equal(got, expected)
    for expected, got in zip(
        model.histogram(X[:, 0], 4), loaded.histogram(X[:, 0], 4), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    assert str(loaded.summary()) == str(model.summary())


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_trees_of_neighbours(algorithm, tmp_path):
    weight = RNG.uniform(0.5, 2, len(X))
    density = KernelDensity(algorithm=algorithm, leaf_size=7, metric="manhattan")
    density.fit(X, sample_weight=weight)
    loaded = through_file(density, tmp_path)
    np.testing.assert_array_equal(loaded.score_samples(X), density.score_samples(X))
    np.testing.assert_array_equal(loaded.tree_.sample_weight, weight)
    neighbors = KNeighborsClassifier(3, algorithm=algorithm).fit(X, X[:, 0] > 0)
    loaded = through_file(neighbors, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), neighbors.predict_proba(X))
    odd = KernelDensity(algorithm=algorithm, metric="minkowski", metric_params={"p": 3}).fit(X)
    with pytest.raises(TypeError, match=r"model.tree_ is a tree .* metric minkowski"):
        save(odd, tmp_path / "model.skml")


def test_parameters_that_were_changed_after_the_fit(tmp_path):
    # the net is that of the fit: it would not fit into the module of the new parameters
    model = NormalizingFlow("maf", n_transforms=2, **SMALL).fit(X)
    expected = model.sample(4, random_state=0)
    model.set_params(hidden=(9, 9), coupling=True)
    loaded = through_file(model, tmp_path)
    np.testing.assert_array_equal(loaded.sample(4, random_state=0), expected)
    assert loaded.hidden == (9, 9)
    # and a second time
    loaded = through_file(loaded, tmp_path)
    np.testing.assert_array_equal(loaded.sample(4, random_state=0), expected)


def test_in_a_pipeline_with_weights_as_safetensors(tmp_path):
    model = make_pipeline(ZScoreScaler(), VAE(2, **SMALL)).fit(X)
    loaded = through_file(model, tmp_path)
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))
    with zipfile.ZipFile(tmp_path / "model.skml") as archive:
        assert "nets/0.safetensors" in archive.namelist()


def test_random_numbers_are_left_alone(tmp_path):
    import torch

    save(NormalizingFlow("realnvp", **SMALL).fit(X), tmp_path / "model.skml")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load(tmp_path / "model.skml")
    assert torch.equal(torch.rand(2), expected)


class OwnFlow(NormalizingFlow):
    """A user's own model."""


def test_a_model_of_the_user_is_refused(tmp_path):
    model = OwnFlow("maf", n_transforms=1, **SMALL).fit(X)
    with pytest.raises(TypeError, match=r"model is of the type .*OwnFlow, which cannot be saved"):
        save(model, tmp_path / "model.skml")
    with pytest.raises(ValueError, match=r"OwnFlow', which is no model .* can be pickled"):
        save(model, tmp_path / "model.skml", trusted=[OwnFlow])
    assert list(tmp_path.iterdir()) == []


def test_a_table_with_events_is_refused(tmp_path):
    model = GaussianMixture().fit(X)
    model.table_ = FRAME
    with pytest.raises(TypeError, match=r"model.table_ is a DataFrame, which cannot be saved"):
        save(model, tmp_path / "model.skml")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model": "os.System"}, "'os.System', which is no model"),
        ({"model": "skhep_ml.generative._autoencoder.Autoencoder"}, "which is no model"),
        ({"model": "elsewhere.NormalizingFlow"}, "which is no model"),
        ({"params": {"hidden": "wide"}}, "hidden"),
        ({"params": {"kind": "other"}}, "kind"),
        ({"params": {"no_such": 1}}, "no_such"),
        ({"params": {"kind": "maf", "hidden": (5,)}}, "weights do not fit the module"),
        ({"kind": "cloud"}, "a net for a cloud"),
        ({"kind": ["table"]}, "cannot load"),
        ({"shape": (-3,)}, r"of shape \(-3,\)"),
        ({"shape": ("3",)}, "of shape"),
        ({"n_context": True}, "True conditions"),
    ],
)
def test_forged_recipes(change, match, tmp_path):
    model = NormalizingFlow("maf", n_transforms=1, **SMALL).fit(X)
    recipe = model.net_.module.recipe
    in_spec = {name: value for name, value in change.items() if name not in ("model", "params")}
    in_recipe = {name: value for name, value in change.items() if name in ("model", "params")}
    forged = dataclasses.replace(
        recipe, spec=dataclasses.replace(recipe.spec, **in_spec), **in_recipe
    )
    save_unchecked(model, forged, tmp_path / "model.skml")
    with pytest.raises(ValueError, match=match):
        load(tmp_path / "model.skml")


def save_unchecked(model, recipe, path):
    """Write a file with a recipe that saving would refuse."""
    model.net_.module.recipe = recipe
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(recipe), "check", lambda recipe: None)
        save(model, path)

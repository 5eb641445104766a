"""Decorrelation and gradient penalty: against their formulas, and what they do to a net."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from skhep_ml.metrics import distance_correlation
from skhep_ml.neural_network import NetClassifier, NetRegressor, _penalties
from skhep_ml.neural_network._dataset import WEIGHT
from skhep_ml.neural_network._penalties import squared_distance_correlation
from skhep_ml.neural_network.modules import MLP
from skhep_ml.preprocessing import AutoScaler


class Small(MLP):
    def __init__(self, n_features, n_outputs, hidden=(16,)):
        super().__init__(n_features, n_outputs, hidden)


def sculpting(n=3000, seed=0):
    """Events of which ``near`` is as good as the mass, and ``other`` does not know it."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    mass = np.where(y == 1, rng.normal(125, 10, n), 60 + rng.exponential(60, n))
    near = np.abs(mass - 125) / 40 + 0.3 * rng.normal(size=n)
    other = rng.normal(size=n) + y
    return pd.DataFrame({"mass": mass, "near": near, "other": other}).astype(np.float32), y


def net(cls=NetClassifier, **options):
    defaults = {"module": Small, "max_epochs": 12, "lr": 0.01, "random_state": 0, "device": "cpu"}
    return cls(**(defaults | options))


def dependence(model, X, y, label=0):
    score = model.predict_proba(X)[:, 1]
    return distance_correlation(score[y == label], np.asarray(X["mass"])[y == label])


# --- the formula ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_has_the_formula_of_the_metric(weighted):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300))
    b += a**2
    weight = rng.exponential(size=300) * (rng.random(300) < 0.7) if weighted else None
    tensor = None if weight is None else torch.from_numpy(weight)
    ours = squared_distance_correlation(torch.from_numpy(a), torch.from_numpy(b), tensor)
    metric = distance_correlation(a, b, sample_weight=weight, squared=True)
    assert float(ours) == pytest.approx(metric, abs=1e-12)


def test_float32_is_precise_enough():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1000))
    a = 0.5 + 1e-3 * (a + 0.1 * b)  # the scores of an untrained net
    ours = squared_distance_correlation(torch.tensor(a).float(), torch.tensor(b).float())
    assert float(ours) == pytest.approx(distance_correlation(a, b, squared=True), rel=1e-3)


def test_its_gradient():
    generator = torch.Generator().manual_seed(0)
    a, b, weight = torch.rand(3, 12, generator=generator, dtype=torch.float64)
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: squared_distance_correlation(a, b, weight), a)


def test_what_cannot_depend_has_no_correlation_and_no_gradient():
    b = torch.arange(5.0)
    for weight in (None, torch.zeros(5)):
        a = torch.full((5,), 0.3, requires_grad=True)
        value = squared_distance_correlation(a, b, weight)
        value.backward()
        assert value.item() == 0
        assert torch.equal(a.grad, torch.zeros(5))
    a = torch.tensor([0.2], requires_grad=True)
    squared_distance_correlation(a, torch.tensor([1.0])).backward()
    assert torch.equal(a.grad, torch.zeros(1))


def test_many_events_are_compared_in_groups(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    a, b, weight = torch.rand(3, 100, generator=generator, dtype=torch.float64)
    parts = [slice(0, 40), slice(40, 80), slice(80, 100)]
    values = [squared_distance_correlation(a[p], b[p], weight[p]) * weight[p].sum() for p in parts]
    monkeypatch.setattr(_penalties, "_LARGEST_GROUP", 40)
    grouped = squared_distance_correlation(a, b, weight)
    torch.testing.assert_close(grouped, sum(values) / weight.sum())


# --- decorrelation --------------------------------------------------------------------------------


def test_the_background_is_no_longer_sculpted():
    X, y = sculpting()
    hidden = net(decorrelate="mass", decorrelation_strength=0.0).fit(X, y)
    free = net(decorrelate="mass", decorrelation_strength=20.0).fit(X, y)
    assert dependence(hidden, X, y) > 0.3
    assert dependence(free, X, y) < 0.12
    assert roc_auc_score(y, free.predict_proba(X)[:, 1]) > 0.7


def test_the_module_does_not_see_the_column():
    X, y = sculpting(600)
    model = net(decorrelate=["mass"], max_epochs=2).fit(X, y)
    assert model.module_.body[0].in_features == 2
    assert model.n_features_in_ == 3
    moved = X.assign(mass=0.0)
    np.testing.assert_array_equal(model.predict_proba(moved), model.predict_proba(X))
    np.testing.assert_array_equal(model.embed(moved), model.embed(X))
    seeing = net(decorrelate="mass", decorrelate_visible=True, max_epochs=2).fit(X, y)
    assert seeing.module_.body[0].in_features == 3
    assert not np.array_equal(seeing.predict_proba(moved), seeing.predict_proba(X))


def test_strength_0_is_training_without_the_column():
    X, y = sculpting(600)
    plain = net(max_epochs=3, batch_size=64).fit(X[["near", "other"]], y)
    hidden = net(max_epochs=3, batch_size=64, decorrelate="mass", decorrelation_strength=0.0)
    hidden.fit(X, y)
    np.testing.assert_allclose(
        hidden.predict_proba(X), plain.predict_proba(X[["near", "other"]]), rtol=1e-5
    )


def test_names_positions_and_named_inputs_mean_the_same():
    X, y = sculpting(600)
    table = X.to_numpy()
    options = {"decorrelation_strength": 5.0, "max_epochs": 2}
    by_name = net(decorrelate="mass", **options).fit(X, y).predict_proba(X)
    by_position = net(decorrelate=0, **options).fit(table, y).predict_proba(table)
    inputs = {"X": table[:, 1:], "mass": table[:, 0]}
    by_input = net(decorrelate="mass", **options).fit(inputs, y).predict_proba(inputs)
    np.testing.assert_array_equal(by_position, by_name)
    np.testing.assert_array_equal(by_input, by_name)


def test_only_the_chosen_class_is_concerned():
    X, y = sculpting()
    names = np.where(y == 1, "a signal", "background")  # background is second
    options = {"decorrelate": "mass", "decorrelation_strength": 20.0}
    chosen = net(decorrelate_label="background", **options).fit(X, names)
    assert dependence(chosen, X, y) < 0.12
    other = net(decorrelate_label="a signal", **options).fit(X, names)
    assert dependence(other, X, y) > dependence(chosen, X, y) + 0.1
    with pytest.raises(ValueError, match="decorrelate_label='zz' is not among the classes"):
        net(decorrelate_label="zz", **options).fit(X, names)


def test_in_a_pipeline_with_signed_weights_and_early_stopping():
    X, y = sculpting()
    weight = np.where(np.random.default_rng(1).random(len(y)) < 0.15, -1.0, 1.0)
    model = net(
        decorrelate="mass",
        decorrelation_strength=20.0,
        early_stopping=True,
        negative_weights="keep",
        max_epochs=20,
    )
    pipeline = make_pipeline(AutoScaler(), model).set_output(transform="pandas")
    pipeline.fit(X, y, netclassifier__sample_weight=weight)
    assert dependence(pipeline, X, y) < 0.15


def test_held_out_loss_contains_the_decorrelation():
    X, y = sculpting(800)
    options = {"decorrelate": "mass", "optimizer": "sgd", "lr": 1e-30, "max_epochs": 1}
    losses = [
        net(decorrelation_strength=strength, early_stopping=True, **options)
        .fit(X, y)
        .history[0, "valid_loss"]
        for strength in (0.0, 1.0, 3.0)
    ]
    assert losses[1] > losses[0]
    assert losses[2] - losses[0] == pytest.approx(3 * (losses[1] - losses[0]), rel=1e-3)


def test_small_batches_are_not_chosen_by_themselves():
    X, y = sculpting(1500)
    batches = net(decorrelate="mass", max_epochs=1).fit(X, y).history[0, "train_batch_count"]
    assert batches == 3
    assert net(max_epochs=1).fit(X, y).history[0, "train_batch_count"] > 20


def test_regression_free_of_a_column():
    X, _ = sculpting(800)
    target = X["near"] + X["mass"] / 100
    model = net(NetRegressor, decorrelate="mass", decorrelation_strength=20.0, max_epochs=20)
    plain = net(NetRegressor, max_epochs=10).fit(X[["near", "other"]], target)
    prediction = model.fit(X, target).predict(X)
    assert distance_correlation(prediction, X["mass"]) < 0.2
    assert distance_correlation(plain.predict(X[["near", "other"]]), X["mass"]) > 0.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decorrelate": "weight"}, "decorrelate names 'weight', but the columns are"),
        ({"decorrelate": 7}, "decorrelate names 7, but the columns are"),
        ({"decorrelate": []}, "names no column"),
        ({"decorrelate": ["mass", "near", "other"]}, "leaves the module nothing to see"),
        ({"decorrelate": "mass", "decorrelation_strength": -1}, "of at least 0, got -1"),
        ({"gradient_penalty": -1.0}, "gradient_penalty must be a number of at least 0"),
        ({"gradient_penalty": 1.0, "compile": True}, "second derivatives"),
    ],
)
def test_bad_parameters(options, message):
    X, y = sculpting(100)
    with pytest.raises(ValueError, match=message):
        net(**options).fit(X, y)


def test_columns_without_names_and_clouds():
    X, y = sculpting(100)
    with pytest.raises(ValueError, match=r'set_output\(transform="pandas"\)'):
        net(decorrelate="mass").fit(X.to_numpy(), y)
    cloud = np.zeros((100, 4, 3), np.float32)
    with pytest.raises(ValueError, match='decorrelate="mass"'):
        net(decorrelate="mass").fit(cloud, y)
    with pytest.raises(ValueError, match="inputs that are tables are"):
        net(decorrelate="jets").fit({"jets": cloud, "mass": X["mass"]}, y)


# --- gradient penalty -----------------------------------------------------------------------------


def test_the_gradient_penalty_of_a_linear_model():
    """For logits W x + b the gradient of the loss is W^T (p - y)."""
    X, y = sculpting(64)
    x = X.to_numpy() / 100
    model = net(module__hidden=(), gradient_penalty=0.7, max_epochs=1).fit(x, y)
    weight = torch.linspace(-1, 2, 64)
    batch = {"X": torch.from_numpy(x), WEIGHT: weight}
    target = torch.from_numpy(y)
    model.module_.train()
    total = model.get_loss(model.infer(batch), target, X=batch, training=True)
    plain = model.get_loss(model.infer(batch), target, X=batch, training=False)
    matrix = model.module_.head.weight.detach().numpy()
    probability = model.predict_proba(x)
    gradient = (probability - np.eye(2)[y]) @ matrix
    expected = np.mean(np.abs(weight.numpy()) * (gradient**2).sum(axis=1))
    assert float((total - plain).detach()) == pytest.approx(0.7 * expected, rel=1e-4)


def test_the_gradient_penalty_makes_the_output_smooth():
    X, y = sculpting(1000)
    X = X[["near", "other"]]

    def slope(penalty):
        model = net(gradient_penalty=penalty, max_epochs=8).fit(X, y)
        assert roc_auc_score(y, model.predict_proba(X)[:, 1]) > 0.85
        return np.abs(model.saliency(X)).mean()

    assert slope(1.0) < 0.7 * slope(0.0)


def test_both_penalties_with_members_and_a_loader():
    X, y = sculpting(600)
    options = {"decorrelate": "mass", "gradient_penalty": 0.1, "max_epochs": 2, "batch_size": 128}
    together = net(n_members=2, **options).fit(X, y)
    assert together.predict_proba(X).shape == (600, 2)
    options["iterator_train__shuffle"] = False
    ours = net(**options).fit(X, y).predict_proba(X)
    loader = net(iterator_train=torch.utils.data.DataLoader, **options).fit(X, y)
    np.testing.assert_allclose(loader.predict_proba(X), ours, atol=1e-5)


# --- two outputs ----------------------------------------------------------------------------------


def test_double_disco_makes_two_classifiers_independent():
    X, y = sculpting()
    x = X.to_numpy() / np.array([100, 1, 1], np.float32)

    def outputs(strength):
        options = {"criterion__strength": strength, "batch_size": 256, "max_epochs": 20}
        model = net(criterion="double_disco", **options)
        both = model.fit(x, y).forward(x).numpy()
        return model, both, distance_correlation(*both[y == 0].T)

    model, both, independent = outputs(5.0)
    *_, dependent = outputs(0.0)
    assert independent < 0.3 < 0.6 < dependent
    probability = 1 / (1 + np.exp(-both))
    np.testing.assert_allclose(model.predict_proba(x)[:, 1], probability.mean(axis=1), rtol=1e-5)
    assert roc_auc_score(y, model.decision_function(x)) > 0.75


def test_double_disco_needs_two_classes():
    X, y = sculpting(100)
    with pytest.raises(ValueError, match="two classes, there are 3"):
        net(criterion="double_disco").fit(X, y + (X["other"] > 1))


def test_double_disco_is_the_mean_over_members():
    loss = _penalties.DoubleDisCoLoss(strength=3.0)
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(50, 2, 2, generator=generator)
    target = torch.arange(50) % 2
    weight = torch.rand(50, generator=generator)
    alone = [loss(prediction[:, k], target, weight) for k in range(2)]
    torch.testing.assert_close(loss(prediction, target, weight), sum(alone) / 2)

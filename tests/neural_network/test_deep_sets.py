"""Deep sets: invariances, the published sizes, the plain formulas, and what they learn."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import DeepSets
from skhep_ml.neural_network.modules._deep_sets import pool_rows

CASES = [
    {"variant": "pfn", "pooling": "sum"},
    {"variant": "pfn", "pooling": "mean"},
    {"variant": "pfn", "pooling": "max", "activation": "tanh"},
    {"variant": "efn"},
]


def clouds(n_events=6, n_particles=9, n_features=3, seed=0):
    """Clouds with absent particles anywhere, one partly missing particle and one empty event."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_events, n_particles, n_features)).astype(np.float32)
    X[..., 0] = np.abs(X[..., 0]) + 0.1
    X[rng.random((n_events, n_particles)) < 0.4] = np.nan
    X[0] = np.nan
    X[1, 0] = [1.0, np.nan, 0.3]
    return torch.from_numpy(X)


def small(**options):
    torch.manual_seed(0)
    sizes = {"particle_hidden": (8, 6), "event_hidden": (7,)}
    return DeepSets(**({"n_features": 3, "n_outputs": 2} | sizes | options)).eval()


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("options", CASES)
@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_neither_order_nor_padding_matters(options, seed):
    module, X = small(**options), clouds(seed=seed)
    order = torch.randperm(X.shape[1], generator=torch.Generator().manual_seed(seed))
    padded = torch.full((len(X), 14, 3), torch.nan)
    padded[:, torch.arange(X.shape[1]) + 2] = X[:, order]
    torch.testing.assert_close(module(padded), module(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", CASES)
def test_an_event_without_particles_is_finite_and_gradients_are_too(options):
    module, X = small(**options), clouds().requires_grad_()
    output = module(X)
    assert torch.isfinite(output).all()
    output.square().sum().backward()
    assert torch.isfinite(X.grad).all()
    for parameter in module.parameters():
        assert torch.isfinite(parameter.grad).all()
    assert torch.isfinite(module(torch.full((2, 4, 3), torch.nan))).all()


def test_pfn_is_the_formula():
    module, X = small(), clouds()
    pooled = torch.zeros(len(X), 6)
    for number, event in enumerate(X):
        for particle in event:
            if not particle.isnan().all():
                pooled[number] += module.particle(particle.nan_to_num())
    torch.testing.assert_close(module(X), module.head(module.event(pooled)))


def test_efn_is_the_formula():
    module = small(variant="efn", pt_column=2, angle_columns=(0, 1))
    X = clouds()[2:].roll(-1, dims=2)
    z = X[..., 2].nan_to_num()
    z = z / z.sum(dim=1, keepdim=True)
    seen = module.particle(X[..., :2].nan_to_num())
    pooled = (z[..., None] * seen).sum(dim=1)
    torch.testing.assert_close(module(X), module.head(module.event(pooled)))


def test_efn_is_infrared_and_collinear_safe():
    module = small(variant="efn")
    X = clouds()[2:]
    hard = int(torch.where(X[0, :, 0].isnan(), -1.0, X[0, :, 0]).argmax())
    split = torch.cat([X, torch.full((len(X), 2, 3), torch.nan)], dim=1)
    split[0, -1] = split[0, hard] * torch.tensor([0.3, 1.0, 1.0])
    split[0, hard, 0] *= 0.7
    split[1, -2] = torch.tensor([1e-7, 3.0, -2.0])
    torch.testing.assert_close(module(split), module(X), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(small()(split), small()(X), atol=1e-3)


def test_pooling_in_each_group():
    values = torch.tensor([[1.0, -5.0], [3.0, -2.0], [7.0, 0.0]])
    group = torch.tensor([0, 0, 2])
    expected = {
        "sum": [[4.0, -7.0], [0.0, 0.0], [7.0, 0.0]],
        "mean": [[2.0, -3.5], [0.0, 0.0], [7.0, 0.0]],
        "max": [[3.0, -2.0], [0.0, 0.0], [7.0, 0.0]],
    }
    for pooling, result in expected.items():
        torch.testing.assert_close(pool_rows(values, group, 3, pooling), torch.tensor(result))


def test_half_precision_counts_particles():
    ones = torch.ones(1001, 1, dtype=torch.bfloat16)
    assert pool_rows(ones, torch.zeros(1001, dtype=torch.long), 1, "sum").item() == 1001


@pytest.mark.parametrize(("variant", "n_in"), [("pfn", 3), ("efn", 2)])
def test_published_size(variant, n_in):
    """82k parameters in the comparisons of top taggers, arXiv:1902.09914 and 1902.08570."""
    sizes = [n_in, 100, 100, 256, 100, 100, 100, 2]
    formula = sum((a + 1) * b for a, b in pairwise(sizes))
    module = DeepSets(3, 2, variant=variant)
    assert n_parameters(module) == formula
    assert round(formula, -3) == 82_000


def test_initialised_by_he():
    module = DeepSets(3, 2)
    assert module.particle[4].weight.std().item() == pytest.approx((2 / 100) ** 0.5, rel=0.03)
    assert (module.particle[4].bias == 0).all()


def test_without_layers_it_is_linear_in_the_sum():
    module = DeepSets(3, 2, particle_hidden=(), event_hidden=())
    X = clouds()
    torch.testing.assert_close(module(X), module.head(X.nan_to_num().sum(dim=1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "cfn"}, "variant='cfn' must be one of"),
        ({"pooling": "median"}, "pooling='median' must be one of"),
        ({"variant": "efn", "pooling": "max"}, "pooling='max' has no meaning"),
        ({"variant": "efn", "pt_column": 3}, "pt_column"),
        ({"variant": "efn", "angle_columns": (1, 5)}, "column 5"),
        ({"activation": "step"}, "activation='step'"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_efn_refuses_scaled_momenta():
    X = clouds()
    X[3, X[3, :, 0].isfinite(), 0] -= 5
    with pytest.raises(ValueError, match="leave this column unscaled"):
        small(variant="efn")(X)


def jets(n=600, seed=0):
    """Two classes that differ in multiplicity and in how momentum is spread in the plane."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 20, 3)).astype(np.float32)
    X[..., 0] = rng.exponential(size=(n, 20))
    X[..., 1:] *= (0.5 + 0.5 * y)[:, None, None]
    X[np.arange(20) >= rng.poisson(7 + 3 * y)[:, None]] = np.nan
    return X, y


def net(**options):
    return NetClassifier(
        DeepSets,
        module__particle_hidden=(16, 16),
        module__event_hidden=(16,),
        **({"max_epochs": 6, "lr": 0.01, "random_state": 0, "device": "cpu"} | options),
    )


@pytest.mark.parametrize("variant", ["pfn", "efn"])
def test_it_learns_in_the_net(variant):
    X, y = jets()
    model = net(module__variant=variant).fit(X[:400], y[:400])
    assert roc_auc_score(y[400:], model.predict_proba(X[400:])[:, 1]) > 0.85
    assert model.embed(X[:5]).shape == (5, 16)


def test_search_over_the_module():
    X, y = jets(200)
    search = GridSearchCV(
        clone(net(max_epochs=2)),
        {"module__pooling": ["sum", "mean"], "module__particle_hidden": [(4,), (8,)]},
        cv=2,
        error_score="raise",
    ).fit(X, y)
    assert search.best_estimator_.module_.pooling in {"sum", "mean"}
    assert len(search.cv_results_["params"]) == 4

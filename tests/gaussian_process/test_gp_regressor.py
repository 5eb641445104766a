import sys

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.exceptions import BiasedWeightsWarning
from skhep_ml.gaussian_process import GPRegressor
from skhep_ml.preprocessing import ZScoreScaler

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(120, 2)), RNG.normal(size=(40, 2))
Y = 5 + 3 * np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.normal(size=120)
WEIGHT = RNG.uniform(0.2, 3, size=120)
KERNEL = ConstantKernel(2.0) * RBF([1.0, 2.0]) + WhiteKernel(0.1)
FIXED = {"optimizer": None, "device": "cpu", "normalize_y": False}


def wave(n, seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 10, size=(n, 1))
    return x, np.sin(2 * x[:, 0]) + noise * rng.normal(size=n)


# --- the exact method -----------------------------------------------------------------------------


@pytest.mark.parametrize("normalize_y", [False, True])
def test_exact_is_that_of_scikit_learn(normalize_y):
    theirs = GaussianProcessRegressor(KERNEL, normalize_y=normalize_y).fit(X, Y)
    ours = GPRegressor(KERNEL, normalize_y=normalize_y, device="cpu").fit(X, Y)
    assert ours.method_ == "exact"
    np.testing.assert_allclose(ours.kernel_.theta, theirs.kernel_.theta, atol=1e-3)
    mean, std = theirs.predict(NEW, return_std=True)
    mean_ours, std_ours = ours.predict(NEW, return_std=True)
    np.testing.assert_allclose(mean_ours, mean, rtol=1e-3)
    np.testing.assert_allclose(std_ours, std, rtol=1e-3)
    np.testing.assert_allclose(
        ours.predict(NEW, return_cov=True)[1], theirs.predict(NEW, return_cov=True)[1], atol=1e-4
    )
    value = theirs.log_marginal_likelihood_value_
    assert ours.log_marginal_likelihood() == pytest.approx(value, abs=1e-4)


def test_evidence_at_other_parameters_is_that_of_scikit_learn():
    theirs = GaussianProcessRegressor(KERNEL).fit(X, Y)
    ours = GPRegressor(KERNEL, normalize_y=False, device="cpu").fit(X, Y)
    value, gradient = theirs.log_marginal_likelihood(KERNEL.theta, eval_gradient=True)
    mine, slope = ours.log_marginal_likelihood(KERNEL.theta, eval_gradient=True)
    assert mine == pytest.approx(value)
    assert ours.log_marginal_likelihood(KERNEL.theta) == mine
    np.testing.assert_allclose(slope, gradient)
    with pytest.raises(ValueError, match="pass kernel_"):
        ours.log_marginal_likelihood(eval_gradient=True)


def test_alpha_is_in_squared_units_of_y():
    alpha = RNG.uniform(0.05, 0.5, size=len(Y))
    theirs = GaussianProcessRegressor(RBF(), alpha=alpha, optimizer=None).fit(X, Y)
    ours = GPRegressor(RBF(), alpha=alpha, **FIXED).fit(X, Y)
    np.testing.assert_allclose(ours.predict(NEW), theirs.predict(NEW))
    in_mega = GPRegressor(RBF(), alpha=alpha * 1e12, optimizer=None, device="cpu").fit(X, 1e6 * Y)
    plain = GPRegressor(RBF(), alpha=alpha, optimizer=None, device="cpu").fit(X, Y)
    for mean, expected in zip(
        in_mega.predict(NEW, return_std=True), plain.predict(NEW, return_std=True), strict=True
    ):
        np.testing.assert_allclose(mean, 1e6 * expected)


def test_units_of_y_do_not_matter():
    model = GPRegressor(KERNEL, device="cpu")
    expected = model.fit(X, Y).predict(NEW)
    np.testing.assert_allclose(1e9 * model.fit(X, 1e-9 * Y).predict(NEW), expected, rtol=1e-6)


def test_noise_of_the_prediction_is_optional():
    model = GPRegressor(KERNEL, **FIXED).fit(X, Y)
    _, std = model.predict(NEW, return_std=True)
    _, function = model.predict(NEW, return_std=True, noise=False)
    np.testing.assert_allclose(std**2 - function**2, 0.1)
    _, cov = model.predict(NEW, return_cov=True, noise=False)
    np.testing.assert_allclose(np.sqrt(np.diag(cov)), function)
    with pytest.raises(ValueError, match="return_std or return_cov"):
        model.predict(NEW, return_std=True, return_cov=True)


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exact", "sparse"])
def test_weight_divides_the_noise(method):
    kernel = ConstantKernel(2.0) * RBF([1.0, 2.0])
    theirs = GaussianProcessRegressor(kernel, alpha=0.1 / WEIGHT, optimizer=None).fit(X, Y)
    ours = GPRegressor(kernel, method=method, alpha=0.1, weight_scale=None, **FIXED)
    white = GPRegressor(
        kernel + WhiteKernel(0.1), method=method, alpha=0.0, weight_scale=None, **FIXED
    )
    mean, std = theirs.predict(NEW, return_std=True)
    for model in (ours, white):
        model.fit(X, Y, sample_weight=WEIGHT)
        np.testing.assert_allclose(model.predict(NEW), mean, atol=1e-4)
        _, spread = model.predict(NEW, return_std=True, noise=False)
        np.testing.assert_allclose(spread, std, atol=1e-4)


@pytest.mark.parametrize("method", ["exact", "sparse"])
def test_integer_weights_are_repetitions(method):
    count = RNG.integers(0, 4, size=len(Y))
    model = GPRegressor(KERNEL, method=method, weight_scale=None, **FIXED)
    weighted = model.fit(X, Y, sample_weight=count).predict(NEW, return_std=True)
    repeated = model.fit(X.repeat(count, axis=0), Y.repeat(count)).predict(NEW, return_std=True)
    np.testing.assert_allclose(weighted[0], repeated[0], atol=1e-6)
    np.testing.assert_allclose(weighted[1], repeated[1], atol=1e-6)


def test_unit_of_weights_does_not_matter():
    model = GPRegressor(KERNEL, random_state=0, device="cpu")
    first = model.fit(X, Y, sample_weight=WEIGHT).predict(NEW)
    np.testing.assert_allclose(model.fit(X, Y, sample_weight=1e-6 * WEIGHT).predict(NEW), first)
    assert not np.allclose(model.fit(X, Y).predict(NEW), first)


def test_weight_zero_masks_a_window():
    out = np.abs(X[:, 0]) < 0.3
    model = GPRegressor(KERNEL, device="cpu")
    masked = model.fit(X, np.where(out, 1e9, Y), sample_weight=~out).predict(NEW)
    np.testing.assert_allclose(model.fit(X[~out], Y[~out]).predict(NEW), masked)


def test_negative_weights():
    signed = np.where(RNG.random(len(Y)) < 0.2, -WEIGHT, WEIGHT)
    model = GPRegressor(KERNEL, device="cpu", random_state=0)
    truth = 5 + 3 * np.sin(NEW[:, 0]) + NEW[:, 1]
    fitted = model.fit(X, Y, sample_weight=signed)
    assert np.sqrt(np.mean((fitted.predict(NEW) - truth) ** 2)) < 0.5
    with pytest.raises(ValueError, match=r"'keep' has no meaning.*'refine', 'pair' and 'cell'"):
        GPRegressor(negative_weights="keep").fit(X, Y, sample_weight=signed)
    GPRegressor(KERNEL, negative_weights="keep", **FIXED).fit(X, Y, sample_weight=WEIGHT)
    with pytest.warns(BiasedWeightsWarning, match="drop"):
        GPRegressor(KERNEL, negative_weights="drop", **FIXED).fit(X, Y, sample_weight=signed)


# --- inducing points ------------------------------------------------------------------------------


def test_sparse_with_a_point_on_every_event_is_exact():
    alpha = RNG.uniform(0.05, 0.5, size=len(Y))
    exact, sparse = (
        GPRegressor(KERNEL, method=method, alpha=alpha, **FIXED).fit(X, Y, sample_weight=WEIGHT)
        for method in ("exact", "sparse")
    )
    assert len(sparse.inducing_points_) == len(X)
    for one, other in zip(
        exact.predict(NEW, return_cov=True), sparse.predict(NEW, return_cov=True), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-4)
    difference = exact.log_marginal_likelihood_value_ - sparse.log_marginal_likelihood_value_
    assert 0 < difference < 0.05


def test_bound_grows_with_the_points():
    x, y = wave(600)
    kernel = RBF(0.8) + WhiteKernel(0.04)
    exact = GPRegressor(kernel, **FIXED).fit(x, y).log_marginal_likelihood_value_
    bounds = [
        GPRegressor(kernel, method="sparse", n_inducing=m, random_state=0, **FIXED)
        .fit(x, y)
        .log_marginal_likelihood_value_
        for m in (4, 8, 16, 32)
    ]
    assert np.all(np.diff([*bounds, exact]) > 0)
    assert exact - bounds[-1] < 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_finds_the_function_and_covers(dtype):
    x, y = wave(3000)
    table = np.column_stack([x, RNG.normal(size=len(x))]).astype(dtype)
    model = GPRegressor(n_inducing=60, n_optimize=300, random_state=0, device="cpu").fit(table, y)
    assert model.method_ == "sparse"
    assert len(model.inducing_points_) == 60
    x_new, y_new = wave(4000, seed=1)
    new = np.column_stack([x_new, np.zeros(len(x_new))])
    mean, std = model.predict(new, return_std=True)
    assert np.sqrt(np.mean((mean - np.sin(2 * x_new[:, 0])) ** 2)) < 0.04
    pull = np.abs(y_new - mean) / std
    assert np.mean(pull < 1) == pytest.approx(0.683, abs=0.03)
    assert np.mean(pull < 1.96) == pytest.approx(0.95, abs=0.02)
    with pytest.raises(ValueError, match='"sparse" keeps no events'):
        model.log_marginal_likelihood(model.kernel_.theta)


def test_points_follow_what_matters():
    x, y = wave(3000)
    table = np.column_stack([x, 1000 * RNG.normal(size=len(x))])
    model = GPRegressor(
        n_inducing=30, n_optimize=300, max_exact=500, random_state=0, device="cpu"
    ).fit(table, y)
    gaps = np.diff(np.sort(model.inducing_points_[:, 0]))
    assert gaps.max() < 1.0


@pytest.mark.parametrize("method", ["exact", "sparse"])
def test_fit_is_bit_reproducible(method):
    x, y = wave(300)
    model = GPRegressor(method=method, n_inducing=20, n_optimize=100, random_state=3, device="cpu")
    first = model.fit(x, y).predict(x, return_std=True)
    second = model.fit(x, y).predict(x, return_std=True)
    assert np.array_equal(first, second)


def test_blocks_of_predictions_are_the_whole(monkeypatch):
    model = GPRegressor(KERNEL, **FIXED).fit(X, Y)
    whole = model.predict(NEW, return_std=True)
    monkeypatch.setattr("skhep_ml.gaussian_process._posterior._BLOCK", 7 * len(X))
    np.testing.assert_allclose(model.predict(NEW, return_std=True), whole)
    sparse = GPRegressor(KERNEL, method="sparse", n_inducing=20, random_state=0, **FIXED)
    in_blocks = sparse.fit(X, Y).predict(NEW, return_std=True)
    monkeypatch.undo()
    np.testing.assert_allclose(sparse.fit(X, Y).predict(NEW, return_std=True), in_blocks)


# --- svgp -----------------------------------------------------------------------------------------


def test_svgp_starts_where_sparse_is_and_gets_there():
    pytest.importorskip("gpytorch")
    x, y = wave(1000)
    options = {"n_inducing": 30, "n_optimize": 200, "random_state": 0, "device": "cpu"}
    sparse = GPRegressor(method="sparse", **options).fit(x, y)
    model = GPRegressor(method="svgp", batch_size=100, max_epochs=8, **options)
    weight = np.full(len(y), 0.1)
    svgp = model.fit(x, y, sample_weight=weight)
    grid = np.linspace(0.2, 9.8, 50).reshape(-1, 1)
    mean, std = sparse.predict(grid, return_std=True)
    mean_svgp, std_svgp = svgp.predict(grid, return_std=True)
    np.testing.assert_allclose(mean_svgp, mean, atol=0.08)
    np.testing.assert_allclose(std_svgp, std, rtol=0.15)
    assert svgp.log_marginal_likelihood_value_ < sparse.log_marginal_likelihood_value_ + 10
    again = model.fit(x, y, sample_weight=weight).predict(grid)
    assert np.array_equal(again, mean_svgp)
    fixed = model.set_params(optimizer=None, kernel=RBF(1.0) + WhiteKernel(0.1)).fit(x, y)
    np.testing.assert_allclose(fixed.kernel_.theta, fixed.kernel.theta)


def test_svgp_without_gpytorch_names_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpytorch", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "skhep-ml\[gp\]"'):
        GPRegressor(KERNEL, method="svgp", **FIXED).fit(X, Y)


# --- mean functions -------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_mean_is_the_generalised_least_squares_one(mean):
    model = GPRegressor(KERNEL, mean=mean, device="cpu").fit(X, Y)
    covariance = model.y_scale_**2 * model.kernel_(X) + 1e-10 * np.eye(len(X))
    design = np.ones((len(X), 1)) if mean == "constant" else np.column_stack([np.ones(len(X)), X])
    inverse = np.linalg.inv(covariance)
    best = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ Y)
    # as far as the optimiser went
    error = np.sqrt(np.diag(np.linalg.inv(design.T @ inverse @ design)))
    np.testing.assert_allclose((model.mean_params_ - best) / error, 0, atol=0.02)


def falling(mass, log_height, slope):
    return np.exp(log_height - slope * mass[:, 0])


def test_a_callable_mean_carries_on_beyond_the_events():
    mass = np.linspace(1, 3, 40).reshape(-1, 1)
    y = falling(mass, 7, 1.5) * (1 + 0.05 * np.sin(6 * mass[:, 0]))
    model = GPRegressor(
        0.1 * RBF(0.3, (0.1, 0.6)),
        alpha=1.0,
        mean=falling,
        mean_start=(6, 1),
        device="cpu",
    ).fit(mass, y)
    np.testing.assert_allclose(model.mean_params_, [7, 1.5], rtol=0.1)
    np.testing.assert_allclose(model.predict(mass), y, rtol=0.05)
    far = np.array([[6.0]])
    np.testing.assert_allclose(model.predict(far), falling(far, *model.mean_params_))
    fixed = GPRegressor(RBF(0.3), alpha=1.0, mean=lambda x: falling(x, 7, 1.5), device="cpu")
    assert fixed.fit(mass, y).mean_params_.size == 0
    np.testing.assert_allclose(fixed.predict(far), falling(far, 7, 1.5))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mean": "cubic"}, 'mean must be "zero"'),
        ({"mean": "linear", "mean_start": [1.0]}, "mean_start belongs to a callable"),
        ({"mean": "zero", "mean_start": [1.0]}, "mean_start belongs to a callable"),
        ({"mean": lambda x, a: a * x[:, 0]}, "with 0 parameters: missing .*'a'; mean_start gives"),
        ({"mean": lambda x: x}, r"gives shape \(120, 2\) for 120 events"),
        ({"mean": lambda x, a: a / (0 * x[:, 0]), "mean_start": [1]}, "NaN or infinite"),
    ],
)
def test_bad_means_are_refused(parameters, message):
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=message):
        GPRegressor(KERNEL, device="cpu", **parameters).fit(X, Y)


# --- draws ----------------------------------------------------------------------------------------


def test_draws_have_the_moments_of_the_posterior():
    model = GPRegressor(KERNEL, device="cpu").fit(X, Y)
    for noise in (True, False):
        draws = model.sample_y(NEW[:10], 40_000, random_state=1, noise=noise)
        mean, cov = model.predict(NEW[:10], return_cov=True, noise=noise)
        size = np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
        np.testing.assert_allclose(
            (draws.mean(axis=1) - mean) / np.sqrt(np.diag(cov)), 0, atol=0.03
        )
        np.testing.assert_allclose((np.cov(draws) - cov) / size, 0, atol=0.03)
    one = model.sample_y(NEW, random_state=5)
    assert one.shape == (len(NEW), 1)
    assert np.array_equal(one, model.sample_y(NEW, random_state=5))


def test_draws_of_the_prior():
    model = GPRegressor(KERNEL, mean=lambda x, a: a * x[:, 0], mean_start=[3.0], device="cpu")
    draws = model.sample_y(NEW[:10], 40_000, prior=True)
    assert not hasattr(model, "n_features_in_")
    np.testing.assert_allclose(draws.mean(axis=1), 3 * NEW[:10, 0], atol=0.05)
    np.testing.assert_allclose(np.cov(draws), KERNEL(NEW[:10]), atol=0.1)
    smooth = model.sample_y(NEW[:10], 40_000, prior=True, noise=False)
    np.testing.assert_allclose(np.cov(smooth), KERNEL(NEW[:10], NEW[:10]), atol=0.1)
    model.set_params(mean="zero", mean_start=None).fit(X, Y)
    learned = model.sample_y(NEW[:10], 40_000, prior=True)
    scale = model.y_scale_**2 * model.kernel_(NEW[:10])
    np.testing.assert_allclose(learned.mean(axis=1), Y.mean(), atol=0.05 * np.sqrt(scale.max()))
    np.testing.assert_allclose(np.cov(learned) / scale.max(), scale / scale.max(), atol=0.05)
    assert GPRegressor().sample_y(NEW, prior=True).shape == (len(NEW), 1)


# --- optimizer and bad input ----------------------------------------------------------------------


def test_restarts_leave_a_bad_start():
    x, y = wave(60, noise=0.05)
    kernel = RBF(1e5, (0.1, 1e5)) + WhiteKernel(1.0)
    options = {"device": "cpu", "random_state": 0}
    once = GPRegressor(kernel, **options).fit(x, y)
    more = GPRegressor(kernel, n_restarts_optimizer=4, **options).fit(x, y)
    assert more.log_marginal_likelihood_value_ > once.log_marginal_likelihood_value_ + 10
    with pytest.raises(ValueError, match="needs finite bounds"):
        GPRegressor(RBF(1.0, (0, np.inf)), alpha=0.1, n_restarts_optimizer=1).fit(x, y)


def test_a_length_scale_at_its_lower_bound_warns():
    x, noise = np.linspace(0, 10, 30)[:, np.newaxis], np.random.default_rng(0).normal(size=30)
    with pytest.warns(ConvergenceWarning, match="^length_scale=1e-05 ended at the lower bound"):
        model = GPRegressor(RBF(1.0), device="cpu").fit(x, noise)
    assert model.kernel_.length_scale == pytest.approx(1e-5)
    kernel = ConstantKernel(1.0, "fixed") * RBF(1.0, (0.01, 10)) + WhiteKernel(0.1, "fixed")
    with pytest.warns(ConvergenceWarning, match="^k1__k2__length_scale=0.01 ended"):
        GPRegressor(kernel, device="cpu").fit(x, noise)


def test_too_few_iterations_warn():
    with pytest.warns(ConvergenceWarning, match="max_iter=1 "):
        GPRegressor(KERNEL, max_iter=1, device="cpu").fit(X, Y)


def test_progress_is_shown_on_request(capsys):
    GPRegressor(KERNEL, verbose=1, device="cpu").fit(X, Y)
    assert "hyperparameters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "best"}, "method must be one of"),
        ({"optimizer": "adam"}, "optimizer must be"),
        ({"n_inducing": 0}, "n_inducing must be an integer of at least 1, got 0"),
        ({"max_iter": 1.5}, "max_iter must be an integer"),
        ({"learning_rate": 0}, "learning_rate must be positive"),
        ({"negative_weights": "ignore"}, "negative_weights must be one of"),
        ({"alpha": -1.0}, "alpha, the noise variance, must be finite and not negative.*-1.0"),
        ({"alpha": np.full(120, np.inf)}, "leave events out by weight 0"),
        ({"alpha": np.ones(5)}, r"alpha has shape \(5,\), but there are 120 events"),
        ({"kernel": RBF(-1.0)}, "must be positive"),
        ({"kernel": "rbf"}, "kernel 'rbf' is not supported: take ConstantKernel"),
        ({"kernel": RBF([1.0, 1.0, 1.0])}, "3 length scales, but X has 2 features"),
        ({"kernel": RBF(100.0), "alpha": 0.0}, r"add noise \(alpha=, or WhiteKernel\)"),
        ({"device": "tpu"}, "device must be"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        GPRegressor(**parameters).fit(X, Y)


def test_a_constant_target_is_predicted():
    model = GPRegressor(device="cpu").fit(X, np.full(len(X), 7.0))
    np.testing.assert_allclose(model.predict(NEW), 7.0)


# --- in scikit-learn's tools ----------------------------------------------------------------------


def test_columns_are_read_by_name():
    table = pd.DataFrame(X, columns=["pt", "eta"])
    model = GPRegressor(KERNEL, **FIXED).fit(table, Y)
    new = pd.DataFrame(NEW, columns=["pt", "eta"])
    np.testing.assert_array_equal(model.predict(new[["eta", "pt"]]), model.predict(new))


def test_pipeline_and_search_carry_weights():
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(ZScoreScaler(), GPRegressor(method="sparse", **FIXED))
        kernels = [Matern(nu=2.5) + WhiteKernel(0.1), DotProduct() + WhiteKernel(100.0)]
        search = GridSearchCV(model, {"gpregressor__kernel": kernels}, cv=3)
        search.fit(X, Y, sample_weight=WEIGHT)
        best = search.best_estimator_
        mean, std = best.predict(NEW, return_std=True)
        direct = make_pipeline(ZScoreScaler(), GPRegressor(kernels[0], method="sparse", **FIXED))
        expected = direct.fit(X, Y, sample_weight=WEIGHT).predict(NEW)
        unweighted = direct.fit(X, Y).predict(NEW)
    assert search.best_params_["gpregressor__kernel"] is kernels[0]
    np.testing.assert_allclose(mean, expected)
    assert not np.allclose(mean, unweighted)
    assert std.shape == mean.shape


def test_parameters_of_kernels_can_be_searched():
    search = GridSearchCV(
        GPRegressor(RBF(1.0) + WhiteKernel(0.1), **FIXED), {"kernel__k1__length_scale": [0.05, 1.0]}
    )
    assert search.fit(X, Y).best_params_ == {"kernel__k1__length_scale": 1.0}


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["exact", "sparse"])
def test_gpu_agrees(method):
    x, y = wave(1000)
    predictions = [
        GPRegressor(method=method, n_inducing=50, random_state=0, device=device)
        .fit(x, y)
        .predict(x[:50], return_std=True)
        for device in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(predictions[0], predictions[1], atol=1e-3)

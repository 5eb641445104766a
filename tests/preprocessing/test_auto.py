import numpy as np
import pandas as pd
import pytest

from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.preprocessing import AutoScaler, LogScaler, MinMaxScaler, ZScoreScaler


def mostly_missing(rng, n):
    return np.where(rng.random(n) < 0.95, np.nan, rng.normal(size=n))


# shape: how it is drawn, and the one choice
SHAPES = {
    "uniform": (lambda rng, n: rng.uniform(3, 8, n), "minmax"),
    "gaussian": (lambda rng, n: rng.normal(91, 2.5, n), "zscore"),
    "exponential": (lambda rng, n: rng.exponential(30, n), "zscore"),
    "threshold": (lambda rng, n: 20 + rng.exponential(30, n), "zscore"),
    "lognormal": (lambda rng, n: 10 ** rng.normal(0, 1, n), "log"),
    "loguniform": (lambda rng, n: 10 ** rng.uniform(-3, 3, n), "log"),
    "multiplicity": (lambda rng, n: rng.poisson(4, n), "zscore"),
    "flag": (lambda rng, n: rng.random(n) < 0.1, "minmax"),
    "angle": (lambda rng, n: rng.uniform(-np.pi, np.pi, n), "minmax"),
    "cosine": (lambda rng, n: np.cos(rng.uniform(0, np.pi, n)), "minmax"),
    "constant": (lambda rng, n: np.full(n, 3.7), "zscore"),
    "mostly missing": (mostly_missing, "zscore"),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [1000, 3000, 10_000])
def test_choice_is_stable_under_resampling(n, weighted):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({name: np.asarray(draw(rng, n), float) for name, (draw, _) in SHAPES.items()})
    weight = rng.normal(1, 0.5, n) if weighted else None
    expected = {name: method for name, (_, method) in SHAPES.items()}
    for _ in range(30):
        rows = rng.integers(0, n, n)
        scaler = AutoScaler().fit(X.iloc[rows], sample_weight=weight[rows] if weighted else None)
        assert scaler.methods_ == expected
    assert scaler.reasons_["constant"] == "constant: goes to 0"


# what imputation and clipping do to a shape: values that share one number
def filled_in(x, rng, fraction):
    return np.where(rng.random(len(x)) < fraction, np.median(x), x)


@pytest.mark.parametrize("shape", ["uniform", "gaussian", "exponential", "lognormal", "angle"])
@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3, 0.5])
def test_imputed_values_do_not_change_the_choice(shape, fraction):
    rng = np.random.default_rng(0)
    draw, expected = SHAPES[shape]
    for n in (2000, 10_000):
        for _ in range(15):
            x = filled_in(draw(rng, n), rng, fraction)
            assert AutoScaler().fit(x[:, None]).methods_ == {0: expected}


def test_mostly_imputed():
    rng = np.random.default_rng(0)
    x = filled_in(rng.uniform(0, 1, 5000), rng, 0.9)
    scaler = AutoScaler().fit(x[:, None])
    assert scaler.methods_ == {0: "zscore"}
    assert scaler.reasons_[0] == "90% missing or at a spike"


def test_a_narrow_peak_is_no_spike():
    # values of both signs make bins as wide as the peak
    rng = np.random.default_rng(0)
    x = rng.normal(173, 0.5, 5000)
    x[:50] = rng.uniform(-300, 300, 50)
    assert AutoScaler().fit(x[:, None]).methods_ == {0: "zscore"}


def test_columns_equal_the_single_scalers():
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [rng.uniform(0, 1, 1000), rng.normal(2, 3, 1000), rng.lognormal(0, 3, 1000)]
    )
    X[::9] = np.nan
    weight = rng.normal(1, 1, 1000)
    scaled = AutoScaler(feature_range=(0, 1)).fit(X, sample_weight=weight).transform(X)
    for index, scaler in enumerate([MinMaxScaler((0, 1)), ZScoreScaler(), LogScaler()]):
        column = X[:, [index]]
        expected = scaler.fit(column, sample_weight=weight).transform(column)
        np.testing.assert_allclose(scaled[:, [index]], expected, rtol=1e-12, atol=1e-12)


def test_zeros_do_not_hide_the_orders_of_magnitude():
    rng = np.random.default_rng(0)
    x = rng.lognormal(0, 2.5, 2000)
    x[rng.random(2000) < 0.7] = 0
    assert AutoScaler().fit(x[:, None]).methods_ == {0: "log"}
    assert AutoScaler().fit(-x[:, None]).methods_ == {0: "log"}


def test_imposed_methods():
    X = pd.DataFrame({"pt": [10.0, 20.0, 400.0], "phi": [-1.0, 0.0, 3.0], "n": [1.0, 2.0, 2.0]})
    scaler = AutoScaler({"pt": "log", 1: "passthrough"}).fit(X)
    assert scaler.methods_ == {"pt": "log", "phi": "passthrough", "n": "minmax"}
    assert scaler.reasons_["pt"] == scaler.reasons_["phi"] == "imposed"
    np.testing.assert_array_equal(scaler.transform(X)[:, 1], X["phi"])
    back = scaler.inverse_transform(scaler.set_output(transform="pandas").transform(X))
    np.testing.assert_allclose(back, X, rtol=1e-14)


def test_imposed_variants_equal_the_single_scalers():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(5, 2, (3, 1000)).T, rng.uniform(0, 1, 1000)])
    weight = rng.normal(1, 1, 1000)
    imposed = {0: "robust", 1: "shifted", 2: "signed"}
    auto = AutoScaler(imposed).fit(X, sample_weight=weight)
    assert list(auto.methods_.values()) == ["robust", "shifted", "signed", "minmax"]
    singles = [ZScoreScaler(robust=True), LogScaler("shifted"), LogScaler("signed"), MinMaxScaler()]
    scaled = auto.transform(X)
    for index, scaler in enumerate(singles):
        column = X[:, [index]]
        expected = scaler.fit(column, sample_weight=weight).transform(column)
        np.testing.assert_allclose(scaled[:, [index]], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(auto.inverse_transform(scaled), X, rtol=1e-9)


def test_column_without_values():
    X = np.array([[np.nan, 1.0], [np.nan, 2.0]])
    with pytest.warns(EmptyColumnWarning):
        scaler = AutoScaler().fit(X)
    assert scaler.methods_ == {0: "passthrough", 1: "minmax"}
    assert scaler.reasons_[0] == "no values"


def test_html_shows_the_choice():
    X = pd.DataFrame({"a<b": [1.0, 2.0, 3.0], "c": [0.0, 1.0, 1.0]})
    assert "<th>why</th>" not in AutoScaler()._repr_html_()
    scaler = AutoScaler().fit(X)
    for text in (scaler._repr_html_(), scaler._repr_mimebundle_()["text/html"]):
        assert "<td>a&lt;b</td><td>zscore</td><td>3 distinct values</td>" in text
        assert "<td>c</td><td>minmax</td><td>two values</td>" in text


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"pt": "cubic"}, r"methods\['pt'\]='cubic'"),
        ({"mass": "log"}, "names the column 'mass'"),
        ({7: "log"}, "names the column 7"),
        (["log"], "must be a dict"),
    ],
)
def test_bad_methods(methods, message):
    X = pd.DataFrame({"pt": [1.0, 2.0], "eta": [0.0, 1.0]})
    with pytest.raises(ValueError, match=message):
        AutoScaler(methods).fit(X)

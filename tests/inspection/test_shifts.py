import numpy as np
import pandas as pd
import pytest

from skhep_ml.inspection import describe_events
from skhep_ml.inspection._shifts import ShiftTest, sign_cells
from skhep_ml.inspection._table import SortedColumn
from skhep_ml.metrics import ks_2samp_weighted


def signed_distance(x1, w1, x2, w2):
    points = np.unique(np.concatenate([x1, x2]))
    one, two = ([w[x <= p].sum() / w.sum() for p in points] for x, w in ((x1, w1), (x2, w2)))
    return np.abs(np.subtract(one, two)).max()


def sample(seed, n=400, labels=2):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, labels, n)
    X = np.column_stack([rng.normal(0.3 * y), rng.poisson(2, n), rng.exponential(1 + y)])
    X[rng.random(n) < 0.2, 2] = np.nan
    return X, y, rng.exponential(1.0, n)


def test_positive_weights_give_the_metric():
    X, y, weight = sample(0)
    found = describe_events(X, y, weight).class_bias.set_index("feature")
    assert (found["class"] == 1).all()
    assert (found["against"] == 0).all()
    assert found["distance"].is_monotonic_decreasing
    for k, name in enumerate(["x0", "x1", "x2"]):
        present = ~np.isnan(X[:, k])
        one, two = present & (y == 1), present & (y == 0)
        expected = ks_2samp_weighted(X[one, k], X[two, k], weight1=weight[one], weight2=weight[two])
        assert found.loc[name, "distance"] == pytest.approx(expected.statistic)
        assert found.loc[name, "pvalue"] == pytest.approx(expected.pvalue)
        lost = [weight[~present & (y == c)].sum() / weight[y == c].sum() for c in (0, 1)]
        assert found.loc[name, "missing_difference"] == pytest.approx(lost[1] - lost[0])


def test_each_of_several_classes_against_the_rest():
    X, y, weight = sample(1, labels=3)
    found = describe_events(X, y, weight).class_bias
    assert len(found) == 9
    assert (found["against"] == "rest").all()
    for row in found.itertuples():
        k = int(row.feature[1])
        present = ~np.isnan(X[:, k])
        one, two = present & (y == row[2]), present & (y != row[2])
        expected = ks_2samp_weighted(X[one, k], X[two, k], weight1=weight[one], weight2=weight[two])
        assert row.distance == pytest.approx(expected.statistic)
        assert row.pvalue == pytest.approx(expected.pvalue)


def test_signed_weights():
    X, y, weight = sample(2)
    weight[np.random.default_rng(3).random(len(y)) < 0.2] *= -1
    description = describe_events(X, y, weight)
    for row in description.class_bias.itertuples():
        k = int(row.feature[1])
        present = ~np.isnan(X[:, k])
        one, two = present & (y == 1), present & (y == 0)
        expected = signed_distance(X[one, k], weight[one], X[two, k], weight[two])
        assert row.distance == pytest.approx(expected)
        assert 1 / 1001 <= row.pvalue <= 1
    for row in description.sign_bias.itertuples():
        k = int(row.feature[1])
        mine = ~np.isnan(X[:, k]) & (y == row[2])
        one, two = mine & (weight < 0), mine & (weight > 0)
        expected = ks_2samp_weighted(
            X[one, k], X[two, k], weight1=-weight[one], weight2=weight[two]
        )
        assert row.distance == pytest.approx(expected.statistic)
        assert row.pvalue == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("discrete", [False, True])
def test_pvalues_with_signs_that_depend_on_the_value_are_uniform(discrete):
    # the density 2 N(0, 1) - N(0, 0.5) of class 0 comes from signed weights, that of class 1
    # from unsigned events: permuting events between them would be wrong
    rng = np.random.default_rng(4)
    test = ShiftTest([0, 1], 5)
    grid = np.linspace(-5, 5, 4001)
    density = 2 * np.exp(-(grid**2) / 2) - np.exp(-((grid / 0.5) ** 2) / 2) / 0.5
    cdf = np.cumsum(np.maximum(density, 0))
    negative_part = np.maximum(-density, 0).sum() / density.sum()
    assert negative_part < 1e-9
    p = []
    for _ in range(150):
        n = rng.poisson(1200)
        positive = rng.random(n) < 2 / 3
        plain = np.interp(rng.random(500), cdf / cdf[-1], grid)
        x = np.append(rng.normal(0, np.where(positive, 1, 0.5)), plain)
        weight = np.append(np.where(positive, 1.0, -1.0), np.ones(500))
        if discrete:
            x = np.round(x)
        column = SortedColumn.from_column(x, ())
        codes = np.repeat([0, 1], [n, 500])
        cells = sign_cells(codes, weight)[column.events]
        (row,) = test.between_classes(column, np.abs(weight)[column.events], cells)
        p.append(row["pvalue"])
    p = np.array(p)
    # 15 expected below 0.1 and 75 below 0.5
    assert 6 <= np.sum(p < 0.1) <= 26
    assert 57 <= np.sum(p < 0.5) <= 93


def test_planted_shifts_are_found_and_others_not():
    rng = np.random.default_rng(6)
    n = 4000
    y = rng.integers(0, 2, n)
    moved = rng.normal(0.4 * y)
    weight = np.where(rng.random(n) < 0.1 + 0.2 * (moved > 0.5), -1.0, 1.0)
    table = pd.DataFrame({"still": rng.normal(size=n), "moved": moved})
    found = describe_events(table, y, weight)
    bias = found.class_bias.set_index("feature")
    assert bias.loc["moved", "pvalue"] < 0.002
    assert bias.loc["still", "pvalue"] > 0.05
    signs = found.sign_bias.set_index(["feature", "class"])
    assert (signs.loc["moved", "pvalue"] < 1e-6).all()
    assert (signs.loc["still", "pvalue"] > 0.01).all()
    assert found.sign_bias.loc[0, "feature"] == "moved"


def test_features_missing_in_one_class():
    y = np.array([0, 0, 1, 1])
    table = pd.DataFrame({"gone": np.nan, "only": [np.nan, np.nan, 1.0, 2.0]}, index=range(4))
    found = describe_events(table, y).class_bias.set_index("feature")
    assert found["distance"].isna().all()
    assert found.loc["only", "missing_difference"] == -1.0
    assert found.loc["gone", "missing_difference"] == 0.0

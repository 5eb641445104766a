import numpy as np
import pytest
from matplotlib import pyplot
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skhep_ml.plotting import SearchDisplay


def make_results(n=60, seed=0):
    """Trials whose score depends on "rate" most, on "depth" less and not on "idle"."""
    rng = np.random.default_rng(seed)
    rate, depth = 10 ** rng.uniform(-4, 0, n), rng.integers(1, 9, n)
    kind, idle = rng.choice(["a", "b"], n), rng.normal(size=n)
    score = 0.8 + 0.05 * np.log10(rate) + 0.004 * depth + np.where(kind == "b", 0.02, 0.0)
    names = ("rate", "depth", "kind", "idle", "fixed")
    points = zip(rate, depth, kind, idle, np.ones(n), strict=True)
    return {
        "params": [dict(zip(names, point, strict=True)) for point in points],
        "mean_test_score": score,
        "std_test_score": np.full(n, 0.02),
        **{f"split{k}_test_score": score for k in range(5)},
    }


def test_convergence(legend_texts):
    results = make_results(6)
    results["mean_test_score"] = np.array([0.5, np.nan, 0.4, 0.7, 0.6, 0.7])
    display = SearchDisplay.from_cv_results(results, name="Random")
    # the error of a mean over five splits
    np.testing.assert_allclose(display.score_std, 0.01)
    (line,) = [one for one in display.ax_.lines if one.get_gid() == "curve"]
    np.testing.assert_array_equal(line.get_ydata(), [0.5, 0.5, 0.5, 0.7, 0.7, 0.7])
    assert legend_texts(display.ax_) == ["Random: best 0.700 ± 0.010 in trial 4"]
    assert display.dependences is None
    second = SearchDisplay.from_cv_results(results, name="Other", ax=display.ax_)
    assert len(legend_texts(second.ax_)) == 2


def test_dependence_follows_the_truth():
    display = SearchDisplay.from_cv_results(make_results(200), "dependence")
    found = display.dependences
    assert set(found) == {"rate", "depth", "kind", "idle"}
    sizes = {key: one.importance for key, one in found.items()}
    assert sorted(sizes, key=sizes.get) == ["idle", "depth", "kind", "rate"]
    rate = found["rate"]
    np.testing.assert_allclose(np.log10(rate.grid[[0, -1]]), [-4, 0], atol=0.1)
    # four decades of 0.05 each, less what a forest takes off at the ends
    assert 0.15 < rate.mean[-1] - rate.mean[0] < 0.21
    assert found["kind"].grid == ["a", "b"]
    np.testing.assert_allclose(np.diff(found["kind"].mean), 0.02, atol=0.008)
    # the standard deviation of a straight line that rises by 0.2
    np.testing.assert_allclose(rate.importance, 0.2 / np.sqrt(12), rtol=0.1)
    assert rate.importance_std < 0.2 * rate.importance
    assert [ax.get_xlabel() for ax in display.axes_] == ["rate", "kind", "depth", "idle"]
    assert display.axes_[0].get_xscale() == "log"
    assert display.axes_[2].get_xscale() == "linear"


def test_importance_is_a_ranking():
    display = SearchDisplay.from_cv_results(make_results(), "importance", params=["depth", "rate"])
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == ["rate", "depth"]
    assert display.ax_.get_xlabel() == "Standard deviation of the score"


def test_none_is_a_value_and_trials_may_lack_a_parameter():
    rng = np.random.default_rng(1)
    deep, wide = [None, 3, 5] * 10, rng.uniform(1, 2, 30)
    results = {
        "params": [
            *[{"kind": "tree", "max_depth": one} for one in deep],
            *[{"kind": "net", "width": one} for one in wide],
        ],
        "mean_test_score": np.concatenate([np.tile([0.6, 0.7, 0.8], 10), 0.5 + 0.1 * wide]),
        "std_test_score": np.zeros(60),
    }
    display = SearchDisplay.from_cv_results(results, "dependence")
    assert display.dependences["max_depth"].grid == ["3", "5", "None"]
    mean = display.dependences["max_depth"].mean
    assert mean[2] < mean[0] < mean[1]
    assert len(display.dependences["width"].grid) == 25


def test_searches_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 100)
    X = rng.normal(y[:, None], size=(100, 2))
    search = GridSearchCV(
        LogisticRegression(),
        {"C": [0.001, 0.01, 0.1, 1.0, 10.0]},
        cv=3,
        scoring=["roc_auc", "accuracy"],
        refit="roc_auc",
    )
    with pytest.raises(ValueError, match="GridSearchCV has no cv_results_"):
        SearchDisplay.from_estimator(search)
    search.fit(X, y)
    display = SearchDisplay.from_estimator(search)
    np.testing.assert_array_equal(display.score, search.cv_results_["mean_test_roc_auc"])
    np.testing.assert_allclose(
        display.score_std, search.cv_results_["std_test_roc_auc"] / np.sqrt(2)
    )
    assert display.ax_.get_ylabel() == "roc auc"
    other = SearchDisplay.from_estimator(search, "dependence", metric="accuracy")
    assert list(other.dependences) == ["C"]
    with pytest.raises(ValueError, match=r"metric='f1': choose one of \['roc_auc', 'accuracy'\]"):
        SearchDisplay.from_estimator(search, metric="f1")


def test_bad_input():
    results = make_results(10)
    with pytest.raises(ValueError, match="kind='partial': choose 'convergence'"):
        SearchDisplay.from_cv_results(results, "partial")
    with pytest.raises(ValueError, match=r"params \['dept'\] are not among those searched"):
        SearchDisplay.from_cv_results(results, "dependence", params=["dept"])
    with pytest.raises(ValueError, match="none of the hyperparameters varies"):
        SearchDisplay.from_cv_results(results, "importance", params=["fixed"])
    with pytest.raises(ValueError, match="4 trials that worked are too few"):
        SearchDisplay.from_cv_results(make_results(4), "importance")
    failed = {**results, "mean_test_score": np.full(10, np.nan)}
    with pytest.raises(ValueError, match="no trial has a finite score"):
        SearchDisplay.from_cv_results(failed)
    assert pyplot.get_fignums() == []


def test_axes_have_few_numbers_and_whole_ones_where_values_are():
    results = make_results(30)
    for trial, rate in zip(results["params"], np.geomspace(0.02, 0.5, 30), strict=True):
        trial["rate"] = rate
    display = SearchDisplay.from_cv_results(results, "dependence", params=["rate", "depth"])
    display.figure_.canvas.draw()
    axes = {ax.get_xlabel(): ax for ax in display.axes_}
    low, high = axes["rate"].get_xlim()
    shown = [
        label.get_text()
        for value, label in zip(
            axes["rate"].get_xticks(), axes["rate"].get_xticklabels(), strict=True
        )
        if low <= value <= high
    ]
    assert shown == ["0.02", "0.05", "0.1", "0.2", "0.5"]
    assert not any(label.get_text() for label in axes["rate"].get_xticklabels(minor=True))
    assert all(float(tick).is_integer() for tick in axes["depth"].get_xticks())
    trials = SearchDisplay.from_cv_results(make_results(5))
    assert all(float(tick).is_integer() for tick in trials.ax_.get_xticks())

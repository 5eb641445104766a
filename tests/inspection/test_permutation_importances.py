import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skhep_ml.inspection import permutation_importances
from skhep_ml.metrics import (
    background_rejection_scorer,
    confusion_scorer,
    flatness_scorer,
    log_loss_scorer,
    regression_scorer,
    roc_auc_score,
    roc_auc_scorer,
)
from skhep_ml.model_selection import RotatingClassifier, RotatingRegressor
from skhep_ml.plotting import ImportanceDisplay


def sample(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3))
    X[:, 0] += y
    X[:, 1] += 0.3 * y
    weight = rng.exponential(size=n) * np.where(rng.random(n) < 0.1, -1, 1)
    return X, y, weight


def test_agrees_with_scikit_learn():
    X, y, weight = sample()
    model = LogisticRegression().fit(X, y)
    result = permutation_importances(model, X, y, sample_weight=weight, n_repeats=10, n_replicas=5)
    expected = permutation_importance(
        model, X, y, sample_weight=weight, scoring=roc_auc_scorer(), n_repeats=10, random_state=0
    )
    np.testing.assert_allclose(result.mean, expected.importances_mean, atol=0.01)
    score = roc_auc_score(y, model.decision_function(X), sample_weight=weight)
    assert result.score == pytest.approx(score, abs=1e-9)
    assert result.names == ["x0", "x1", "x2"]
    assert result.to_pandas().index.tolist() == ["x0", "x1", "x2"]
    lines = str(result).splitlines()
    assert lines[1].startswith("(score)")
    assert lines[2].startswith("x0")
    assert "<th>x0</th>" in result._repr_html_()
    display = ImportanceDisplay.from_importances(result.names, result.mean, result.std)
    assert len(display.bars_) == 3


def test_errors_are_the_spread_over_independent_samples():
    X, y, weight = sample()
    model = LogisticRegression().fit(X, y)
    means, stds = [], []
    for seed in range(1, 26):
        X, y, weight = sample(300, seed)
        one = permutation_importances(model, X, y, sample_weight=weight, n_replicas=20)
        means.append(one.mean)
        stds.append(one.std)
    spread = np.std(means, axis=0, ddof=1)
    np.testing.assert_allclose(np.mean(stds, axis=0)[:2], spread[:2], rtol=0.35)


def test_rotating_models_predict_by_their_folds():
    X, y, _ = sample(1000)
    event = np.arange(1000)
    tree = DecisionTreeClassifier(max_depth=8, random_state=0)
    for routing in (False, True):
        with sklearn.config_context(enable_metadata_routing=routing):
            model = RotatingClassifier(tree, n_splits=2).fit(X, y, groups=event)
            options = {"groups": event, "n_replicas": 10}
            result = permutation_importances(model, X, y, **options)
            piped = make_pipeline(StandardScaler().fit(X), model)
            permutation_importances(piped, X, y, features=[0], **options)
            score = model.predict_proba(X, groups=event)[:, 1]
    assert result.score == pytest.approx(roc_auc_score(y, score))
    # in training the useless feature would look useful
    seen = permutation_importances(tree.fit(X, y), X, y, n_replicas=0)
    assert result.mean[2] < 0.03 < seen.mean[2]
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(event=event)
    riding = RotatingClassifier(tree, n_splits=2, id_columns="event").fit(frame, y)
    same = permutation_importances(riding, frame, y, features=["a", "b", "c"], groups=event)
    assert same.score == result.score


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_columns_of_frames_alone_and_together(library):
    X, y, _ = sample()
    frame = library({"a": X[:, 0], "copy": X[:, 0], "c": X[:, 2]})
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, y)
    before = frame["a"].to_numpy().copy()
    alone = permutation_importances(model, frame, y, n_replicas=0)
    together = permutation_importances(
        model, frame, y, features={"both": ["a", "copy"], "c": [2]}, n_replicas=0
    )
    assert together.names == ["both", "c"]
    assert together.mean[0] > 1.3 * alone.mean[0]
    assert together.mean[0] == pytest.approx(together.score - 0.5, abs=0.02)
    np.testing.assert_array_equal(frame["a"].to_numpy(), before)
    picked = permutation_importances(model, frame, y, features=["c"], n_replicas=0)
    assert picked.names == ["c"]


def test_features_of_clouds():
    X, y, _ = sample(500)

    class First(LogisticRegression):
        def predict_proba(self, cloud):
            return super().predict_proba(cloud[:, 0])

    model = First().fit(X, y)
    cloud = np.repeat(X[:, None], 4, axis=1)
    result = permutation_importances(
        model, cloud, y, feature_names=["a", "b", "c"], n_replicas=0, random_state=1
    )
    flat = permutation_importances(
        LogisticRegression().fit(X, y), X, y, n_replicas=0, random_state=1
    )
    assert result.names == ["a", "b", "c"]
    np.testing.assert_allclose(result.mean, flat.mean)


def test_other_scores_and_models():
    X, y, weight = sample(800)
    model = LogisticRegression().fit(X, np.array(["b", "s"])[y])
    label = np.array(["b", "s"])[y]
    for scorer in (
        background_rejection_scorer(0.5),
        log_loss_scorer(),
        confusion_scorer("balanced_accuracy"),
        roc_auc_scorer(pos_label="b"),
    ):
        result = permutation_importances(
            model, X, label, sample_weight=np.abs(weight), scoring=scorer, n_replicas=5
        )
        assert np.argmax(result.mean) == 0
        assert result.score == pytest.approx(scorer(model, X, label, np.abs(weight)))
    three = np.where(X[:, 2] > 1, 2, y)
    multi = LogisticRegression().fit(X, three)
    result = permutation_importances(multi, X, three, scoring=log_loss_scorer(), n_replicas=5)
    assert result.score == pytest.approx(log_loss_scorer()(multi, X, three))
    target = X[:, 1] ** 2
    tree = DecisionTreeRegressor(max_depth=4).fit(X, target)
    scores = permutation_importances(tree, X, target, scoring=regression_scorer("mae"))
    assert np.argmax(scores.mean) == 1


def test_scorers_of_scikit_learn():
    X, y, weight = sample(800)
    label = np.array(["b", "s"])[y]
    model = LogisticRegression().fit(X, label)
    options = {"sample_weight": np.abs(weight), "n_replicas": 5}
    ours = permutation_importances(model, X, label, **options)
    named = permutation_importances(model, X, label, scoring="roc_auc", **options)
    np.testing.assert_allclose(named.mean, ours.mean)
    np.testing.assert_allclose(named.std, ours.std)
    assert named.score == pytest.approx(ours.score)

    def area(model, X, y, sample_weight=None):
        assert len(X) == len(y) == len(sample_weight)
        return roc_auc_score(y, model.predict_proba(X)[:, 1], sample_weight=sample_weight)

    called = permutation_importances(model, X, label, scoring=area, **options)
    np.testing.assert_allclose(called.mean, ours.mean)
    np.testing.assert_allclose(called.std, ours.std)
    without = permutation_importances(
        model, X, label, scoring=lambda model, X, y: np.mean(model.predict(X) == y), n_replicas=0
    )
    assert without.score == model.score(X, label)


def test_regressors_lose_r2_unless_told_otherwise():
    X, _, weight = sample(1500)
    target, event = X[:, 1] ** 2, np.arange(1500)
    model = RotatingRegressor(DecisionTreeRegressor(max_depth=4), n_splits=2)
    model.fit(X, target, groups=event)
    options = {"sample_weight": np.abs(weight), "groups": event, "n_replicas": 0}
    found = permutation_importances(model, X, target, **options)
    predicted = model.predict(X, groups=event)
    assert found.score == pytest.approx(r2_score(target, predicted, sample_weight=np.abs(weight)))
    np.testing.assert_allclose(
        permutation_importances(model, X, target, scoring="r2", **options).mean, found.mean
    )
    assert np.argmax(found.mean) == 1


def test_wrong_input_is_refused():
    X, y, _ = sample(100)
    model = LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="'auc' is not a valid scoring value"):
        permutation_importances(model, X, y, scoring="auc")
    with pytest.raises(ValueError, match="neither a scorer nor the name of one"):
        permutation_importances(model, X, y, scoring=1)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        permutation_importances(model, X, y, scoring=lambda model, X, y: 0.0)
    with pytest.raises(ValueError, match="looks at columns of X"):
        permutation_importances(model, X, y, scoring=flatness_scorer([0], uniform_label=0))
    with pytest.raises(ValueError, match="features names 'mass'"):
        permutation_importances(model, X, y, features=["mass"])
    with pytest.raises(ValueError, match="3 columns, but there are 1 feature_names"):
        permutation_importances(model, X, y, feature_names=["a"])
    with pytest.raises(ValueError, match="n_repeats must be"):
        permutation_importances(model, X, y, n_repeats=0)
    with pytest.raises(ValueError, match="features on its last axis"):
        permutation_importances(model, X[:, 0], y)
    with pytest.raises(ValueError, match="sample_weight has 3 entries"):
        permutation_importances(model, X, y, sample_weight=np.ones(3))

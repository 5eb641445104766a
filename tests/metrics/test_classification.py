import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import UndefinedMetricWarning

from skhep_ml.metrics import (
    confusion_matrix,
    purity_score,
    sensitivity_score,
    specificity_score,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 5)), min_size=1, max_size=30
    ),
    st.sampled_from([None, "true", "pred", "all"]),
    st.sampled_from([None, [0, 1, 2, 3], [2, 0]]),
    st.booleans(),
)
def test_confusion_matrix_equals_scikit_learn(events, normalize, labels, weighted):
    y, pred, weight = (np.array(column) for column in zip(*events, strict=True))
    weight = weight + 0.1 if weighted else None
    if labels is not None and not np.isin(labels, y).any():
        with pytest.raises(ValueError, match="none of labels"):
            confusion_matrix(y, pred, labels=labels)
        return
    options = {"labels": labels, "normalize": normalize, "sample_weight": weight}
    assume(labels is not None or len(np.union1d(y, pred)) > 1)  # scikit-learn warns of one label
    mine = confusion_matrix(y, pred, **options)
    theirs = reference.confusion_matrix(y, pred, **options)
    np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)
    assert np.issubdtype(mine.dtype, np.integer) == np.issubdtype(theirs.dtype, np.integer)


def test_signed_sums_and_errors():
    y, pred = np.array(["b", "b", "b", "s", "s"]), np.array(["b", "s", "s", "s", "b"])
    weight = np.array([2.0, 3.0, -1.0, 1.0, -0.5])
    matrix, std = confusion_matrix(y, pred, sample_weight=weight, return_std=True)
    np.testing.assert_allclose(matrix, [[2.0, 2.0], [-0.5, 1.0]])
    np.testing.assert_allclose(std, [[2.0, np.sqrt(10)], [0.5, 1.0]])


def test_counts_have_poisson_errors():
    matrix, std = confusion_matrix([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], return_std=True)
    np.testing.assert_allclose(std, np.sqrt(matrix))


def test_share_errors_equal_those_of_the_scores():
    rng = np.random.default_rng(0)
    y, pred = rng.integers(0, 2, (2, 300))
    weight = rng.normal(1.0, 1.0, 300)
    rows = confusion_matrix(y, pred, sample_weight=weight, normalize="true", return_std=True)
    columns = confusion_matrix(y, pred, sample_weight=weight, normalize="pred", return_std=True)
    for score, cell, (value, std) in (
        (sensitivity_score, (1, 1), rows),
        (specificity_score, (0, 0), rows),
        (purity_score, (1, 1), columns),
    ):
        found = score(y, pred, sample_weight=weight, return_std=True)
        np.testing.assert_allclose(found, (value[cell], std[cell]), rtol=1e-12)


def test_normalised_empty_row_is_zero():
    matrix, std = confusion_matrix([0, 0], [0, 1], normalize="true", return_std=True)
    assert matrix.tolist() == [[0.5, 0.5], [0.0, 0.0]]
    assert std[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("labels", [(0, 1), (-1, 1), ("b", "s")])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_equal_scikit_learn(labels, weighted):
    rng = np.random.default_rng(1)
    y, pred = np.array(labels)[rng.integers(0, 2, (2, 100))]
    weight = rng.exponential(size=100) if weighted else None
    for pos, neg in (labels, labels[::-1]):
        options = {"sample_weight": weight, "pos_label": pos}
        np.testing.assert_allclose(
            sensitivity_score(y, pred, **options), reference.recall_score(y, pred, **options)
        )
        np.testing.assert_allclose(
            purity_score(y, pred, **options), reference.precision_score(y, pred, **options)
        )
        options["pos_label"] = neg
        expected = reference.recall_score(y, pred, **options)
        options["pos_label"] = pos
        np.testing.assert_allclose(specificity_score(y, pred, **options), expected)


def test_efficiency_error_agrees_with_toys():
    """The formula at a fixed selection, with signs that follow the selection."""
    rng = np.random.default_rng(2)
    values, errors = [], []
    for _ in range(500):
        n = rng.poisson(400)
        passing = rng.random(n) < 0.3
        negative = rng.random(n) < np.where(passing, 0.35, 0.1)
        weight = np.where(negative, -1.0, 1.0)
        value, std = sensitivity_score(np.ones(n), passing, sample_weight=weight, return_std=True)
        values.append(value)
        errors.append(std)
    assert abs(np.mean(errors) / np.std(values, ddof=1) - 1) < 0.12


@pytest.mark.parametrize("weight", [None, [1.0, 1.0, 2.0, -2.0]])
def test_undefined_share(weight):
    y, pred = [1, 1, 0, 0], [0, 0, 0, 0] if weight is None else [0, 0, 1, 1]
    with pytest.warns(UndefinedMetricWarning, match="purity is undefined"):
        assert purity_score(y, pred, sample_weight=weight) == 0.0
    assert purity_score(y, pred, sample_weight=weight, zero_division=1.0) == 1.0
    value, std = purity_score(y, pred, sample_weight=weight, zero_division=np.nan, return_std=True)
    assert np.isnan([value, std]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sensitivity_score(["b", "s"], ["b", "s"]), "pos_label=1"),
        (lambda: purity_score([0, 1, 2], [0, 1, 1]), "binary"),
        (lambda: purity_score([0, 1], [0, 1, 1]), "3 entries"),
        (lambda: confusion_matrix([0, 1], [0, 1], normalize="rows"), "normalize='rows'"),
        (lambda: confusion_matrix([[0, 1], [1, 0]], [0, 1]), "shape"),
        (lambda: confusion_matrix([0, 1], [0, 1], sample_weight=[1, np.inf]), "infinite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

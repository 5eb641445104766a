import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skhep_ml.weights import balance_classes, balance_weights, effective_sample_size

weights = st.lists(st.floats(-5, 10).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=1)


@given(weights, st.floats(1e-6, 1e6))
def test_effective_size_is_a_ratio(values, scale):
    w = np.array(values)
    if not w.any():
        assert effective_sample_size(w) == 0
        return
    assert effective_sample_size(w) == pytest.approx(w.sum() ** 2 / np.sum(w**2))
    assert effective_sample_size(w * scale) == pytest.approx(effective_sample_size(w))


def test_effective_size_of_equal_weights_is_their_number():
    assert effective_sample_size(np.full(17, 0.3)) == pytest.approx(17)
    assert effective_sample_size([]) == 0


def test_balance_gives_equal_signed_sums_and_keeps_ratios():
    rng = np.random.default_rng(0)
    y = np.array(["a", "b", "c"])[rng.integers(3, size=300)]
    w = rng.normal(1, 1, size=300)
    balanced = balance_classes(y, w)
    sums = [balanced[y == label].sum() for label in "abc"]
    assert np.allclose(sums, w.sum() / 3)
    for label in "abc":
        ratio = balanced[y == label] / w[y == label]
        assert np.allclose(ratio, ratio[0])
    assert balance_classes(y, w, total=6.0).sum() == pytest.approx(6)


def test_class_without_positive_sum_is_named():
    with pytest.raises(ValueError, match="class 1 sum to -1 over 2 events"):
        balance_classes([0, 1, 1], [1.0, 1.0, -2.0])


def test_both_names_are_one_function():
    assert balance_weights is balance_classes


def test_missing_labels_are_refused():
    for y in ([0.0, 1.0, np.nan], np.array(["a", "b", None], dtype=object)):
        with pytest.raises(ValueError, match="y is missing in 1 events, first in event 2"):
            balance_classes(y)


def test_masked_weights_are_refused():
    weight = np.ma.masked_equal([1.0, -999.0, 2.0], -999.0)
    with pytest.raises(ValueError, match="sample_weight is NaN or infinite in 1 events"):
        balance_classes([0, 1, 1], weight)

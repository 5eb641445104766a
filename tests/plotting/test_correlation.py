import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from skhep_ml.inspection import describe_events
from skhep_ml.plotting import CorrelationDisplay


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    x[:, 1] += x[:, 0]
    x[rng.random(400) < 0.2, 2] = np.nan
    return pd.DataFrame(x, columns=["tau_pt", "met", "jet_pt"])


def test_data_and_description_agree(table, sample):
    display = CorrelationDisplay.from_data(table, sample_weight=sample.weight)
    found = describe_events(table, sample.y, sample.weight, class_correlation=True)
    np.testing.assert_allclose(display.correlation, found.correlation, atol=1e-12)
    given = CorrelationDisplay.from_correlation(found.correlation, name="all")
    assert given.feature_names == ["tau_pt", "met", "jet_pt"]
    assert given.ax_.get_title() == "all"
    assert [text.get_text() for text in given.ax_.get_xticklabels()] == given.feature_names
    assert given.text_[0, 1].get_text() == f"{100 * found.correlation.iloc[0, 1]:.0f}"
    assert given.text_[2, 2].get_text() == "100"
    assert given.im_.get_clim() == (-1.0, 1.0)

    classes = found.class_correlation
    difference = CorrelationDisplay.from_data(table, sample.y, sample_weight=sample.weight)
    np.testing.assert_allclose(difference.correlation, classes[1] - classes[0], atol=1e-12)
    assert difference.difference
    assert difference.ax_.get_title() == "1 less 0"
    assert difference.im_.get_clim()[1] == pytest.approx(abs(difference.correlation).max())
    other = CorrelationDisplay.from_data(
        table, sample.y, sample_weight=sample.weight, labels=(0, 1), name="b - s"
    )
    np.testing.assert_allclose(other.correlation, -difference.correlation)
    assert other.ax_.get_title() == "b - s"
    same = CorrelationDisplay.from_correlation(classes[1], reference=classes[0])
    np.testing.assert_allclose(same.correlation, difference.correlation, atol=1e-12)


def test_cells_without_correlation_stay_empty(table):
    table["stuck"] = 1.0
    display = CorrelationDisplay.from_data(table)
    assert display.text_[0, 3] is None
    assert display.im_.get_array().mask[3].all()
    assert display.im_.get_array().mask.sum() == 7


def test_size_and_numbers_follow_the_number_of_features():
    rng = np.random.default_rng(1)
    names = [f"a_feature_with_a_long_name_{k}" for k in range(25)]
    X = rng.normal(size=(100, 25))
    display = CorrelationDisplay.from_data(X, feature_names=names)
    assert display.text_ is None
    small = CorrelationDisplay.from_data(X[:, :5])
    assert small.text_.shape == (5, 5)
    assert display.figure_.get_size_inches()[0] > small.figure_.get_size_inches()[0] + 3
    display.figure_.canvas.draw()
    left = min(text.get_window_extent().x0 for text in display.ax_.get_yticklabels())
    assert left >= 0

    figure, ax = pyplot.subplots()
    before = tuple(figure.get_size_inches())
    drawn = CorrelationDisplay.from_data(X[:, :5], ax=ax, annotate=False, colorbar=False)
    assert drawn.ax_ is ax
    assert drawn.text_ is None
    assert tuple(figure.get_size_inches()) == before
    assert len(figure.axes) == 1
    assert (
        CorrelationDisplay.from_data(X[:, :2], cmap="PiYG").im_.cmap == matplotlib.colormaps["PiYG"]
    )


def test_identical_classes_have_a_difference_of_zero(table):
    both = pd.concat([table, table])
    display = CorrelationDisplay.from_data(both, np.repeat(["a", "b"], 400))
    np.testing.assert_allclose(display.correlation, 0, atol=1e-12)
    assert {text.get_text() for text in display.text_.ravel()} == {"0"}


def test_bad_input_is_refused(table):
    y = np.arange(400) % 3
    with pytest.raises(ValueError, match=r"between two classes of y, \[0, 1, 2\], got \(2, 1, 0\)"):
        CorrelationDisplay.from_data(table, y)
    with pytest.raises(ValueError, match=r"got \(0, 7\)"):
        CorrelationDisplay.from_data(table, y, labels=(0, 7))
    with pytest.raises(ValueError, match="needs y"):
        CorrelationDisplay.from_data(table, labels=(0, 1))
    with pytest.raises(ValueError, match=r"y has shape \(3,\)"):
        CorrelationDisplay.from_data(table, [0, 1, 0])
    with pytest.raises(ValueError, match="sample_weight has 3 entries"):
        CorrelationDisplay.from_data(table, sample_weight=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"must have shape \(n_features, n_features\)"):
        CorrelationDisplay.from_correlation([[1.0, 0.0]])
    with pytest.raises(ValueError, match="correlation is 2 in row 0, column 1"):
        CorrelationDisplay.from_correlation([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="of the same features"):
        CorrelationDisplay.from_correlation(np.eye(2), reference=np.eye(3))
    matrix = table.corr()
    with pytest.raises(ValueError, match="of the same features"):
        CorrelationDisplay.from_correlation(matrix, reference=matrix.rename(columns={"met": "x"}))
    with pytest.raises(ValueError, match="holds 1 names for 2 features"):
        CorrelationDisplay.from_correlation(np.eye(2), feature_names=["a"])


def test_one_class_alone(table, sample):
    display = CorrelationDisplay.from_data(
        table, sample.process, sample_weight=sample.weight, labels="H"
    )
    here = sample.process == "H"
    expected = CorrelationDisplay.from_data(table[here], sample_weight=sample.weight[here])
    np.testing.assert_allclose(display.correlation, expected.correlation, atol=1e-12)
    assert not display.difference
    assert display.ax_.get_title() == "H"
    with pytest.raises(ValueError, match=r"between two classes of y, .*got \('T',\)"):
        CorrelationDisplay.from_data(table, sample.process, labels="T")

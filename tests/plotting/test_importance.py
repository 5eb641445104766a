import numpy as np
import pytest

from skhep_ml.plotting import ImportanceDisplay


def test_the_most_important_come_first():
    names = [f"f{k}" for k in range(6)]
    mean = np.array([0.1, 0.5, -0.2, 0.3, 0.0, 0.4])
    std = np.arange(6) / 100
    display = ImportanceDisplay.from_importances(names, mean, std, max_features=4, name="AUC lost")
    ax = display.ax_
    assert [text.get_text() for text in ax.get_yticklabels()] == ["f1", "f5", "f3", "f0"]
    assert [bar.get_width() for bar in display.bars_] == [0.5, 0.4, 0.3, 0.1]
    assert ax.get_xlabel() == "AUC lost"
    assert ax.get_title(loc="right") == "4 of 6 features"
    # the first bar is on top
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    segments = display.bars_.errorbar.lines[2][0].get_segments()
    np.testing.assert_allclose([(high - low)[0] / 2 for low, high in segments], std[[1, 5, 3, 0]])
    np.testing.assert_array_equal(display.mean, mean)


def test_without_errors_and_with_all_features():
    display = ImportanceDisplay.from_importances(["a", "b"], [0.1, 0.2])
    assert display.std is None
    assert display.bars_.errorbar is None
    assert display.ax_.get_title(loc="right") == ""
    assert display.ax_.get_xlabel() == "Importance"


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"mean must have shape \(2,\)"):
        ImportanceDisplay.from_importances(["a", "b"], [0.1])
    with pytest.raises(ValueError, match=r"std must have shape \(2,\)"):
        ImportanceDisplay.from_importances(["a", "b"], [0.1, 0.2], [0.1])
    with pytest.raises(ValueError, match="mean is NaN for feature 'b'"):
        ImportanceDisplay.from_importances(["a", "b"], [0.1, np.nan])
    with pytest.raises(ValueError, match="nothing to show"):
        ImportanceDisplay.from_importances(["a", "b"], [0.1, 0.2], max_features=0)

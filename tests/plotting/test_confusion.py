import numpy as np
import pytest

from skhep_ml.metrics import confusion_matrix
from skhep_ml.plotting import ConfusionDisplay


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_numbers_and_texts(sample, normalize):
    predicted = (sample.score > 0.5).astype(int)
    display = ConfusionDisplay.from_predictions(
        sample.y, predicted, sample_weight=sample.weight, normalize=normalize
    )
    matrix, std = confusion_matrix(
        sample.y, predicted, sample_weight=sample.weight, normalize=normalize, return_std=True
    )
    np.testing.assert_array_equal(display.confusion_matrix, matrix)
    np.testing.assert_array_equal(display.confusion_matrix_std, std)
    np.testing.assert_allclose(display.row_shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(display.im_.get_array(), display.row_shares)
    for i, j in np.ndindex(2, 2):
        value, error = (float(part) for part in display.text_[i, j].get_text().split("\n± "))
        assert abs(value - matrix[i, j]) <= 0.05 * std[i, j]
        assert abs(error - std[i, j]) <= 0.05 * std[i, j]


def test_labels_names_and_title():
    display = ConfusionDisplay.from_predictions(
        ["b", "b", "s"],
        ["b", "s", "s"],
        labels=["s", "b"],
        display_labels=["Signal", "Background"],
        name="Model",
        colorbar=False,
    )
    ax = display.ax_
    assert [text.get_text() for text in ax.get_xticklabels()] == ["Signal", "Background"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted class", "True class")
    assert ax.get_title() == "Model"
    assert display.figure_.axes == [ax]
    assert display.confusion_matrix.tolist() == [[1, 0], [1, 1]]
    plain = ConfusionDisplay.from_predictions(["b", "s"], ["b", "s"])
    assert plain.display_labels == ["b", "s"]
    assert len(plain.figure_.axes) == 2


def test_text_stands_out_from_its_cell():
    display = ConfusionDisplay.from_predictions([0, 0, 1], [0, 0, 0])
    assert display.text_[0, 0].get_color() == "white"
    assert display.text_[0, 1].get_color() == "black"


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="display_labels holds 1 names for 2 classes"):
        ConfusionDisplay.from_predictions([0, 1], [0, 1], display_labels=["one"])
    with pytest.raises(ValueError, match="choose 'true', 'pred', 'all' or None"):
        ConfusionDisplay.from_predictions([0, 1], [0, 1], normalize="row")

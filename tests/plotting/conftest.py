from typing import NamedTuple

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot


class Sample(NamedTuple):
    y: np.ndarray
    score: np.ndarray
    weight: np.ndarray
    process: np.ndarray


@pytest.fixture(autouse=True)
def _clean_pyplot():
    """Every test leaves the global style as it was; its figures are closed."""
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    pyplot.close("all")


def make_sample(seed):
    rng = np.random.default_rng(seed)
    n = 400
    y = (rng.random(n) < 0.4).astype(int)
    # rounded, so that there are ties
    score = np.round(1 / (1 + np.exp(-rng.normal(2.0 * y - 1))), 2)
    weight = rng.exponential(2.0, n) * np.where(rng.random(n) < 0.2, -1, 1)
    process = np.where(y == 1, "H", np.where(rng.random(n) < 0.7, "Z", "W"))
    return Sample(y, score, weight, process)


@pytest.fixture
def sample():
    """Signed events with tied scores."""
    return make_sample(1)


@pytest.fixture
def other_sample():
    """Independent events of the same kind."""
    return make_sample(2)


@pytest.fixture
def legend_texts():
    """Texts in the legend of axes."""
    return lambda ax: [text.get_text() for text in ax.get_legend().get_texts()]

import re
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import sklearn

PAGE = Path(__file__).parents[1] / "docs" / "classic_models.rst"


def blocks(text):
    found = re.findall(
        r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", text, flags=re.MULTILINE
    )
    return [textwrap.dedent(block) for block in found]


def test_blocks_are_found():
    text = "x\n\n.. code-block:: python\n\n   a = 1\n\n   b = 2\n\ny\n"
    assert blocks(text) == ["a = 1\n\nb = 2\n\n"]
    assert len(blocks(PAGE.read_text())) == PAGE.read_text().count("code-block:: python") > 10


def test_the_page_runs(capsys):
    text = PAGE.read_text()
    matplotlib.use("Agg")
    scope = {}
    with sklearn.config_context():  # the page switches routing on
        for block in blocks(text):
            exec(compile(block, str(PAGE), "exec"), scope)
    scope["plt"].close("all")
    printed = capsys.readouterr().out
    scores = [float(value) for value in re.findall(r"AUC (\d\.\d+)", printed)]
    assert len(scores) == 7
    assert min(scores) > 0.6
    assert np.isfinite(scope["picture"]).all()
    weight, components = scope["physical"], scope["components"]
    assert np.allclose(np.average(components, axis=0, weights=weight), 0, atol=1e-5)
    covariance = np.cov(components.T, aweights=weight)
    assert np.allclose(covariance, np.diag(scope["variance"][:-3:-1]), atol=1e-4)

import runpy
import sys
from pathlib import Path

import pytest
import sklearn

# less work than without arguments
ARGUMENTS = {"shower_surrogate": ["showers.png", "1500"]}
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_there_are_examples():
    assert EXAMPLES


# in this process, where every package is imported already; what an example sets is set back
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), *ARGUMENTS.get(script.stem, [])])
    monkeypatch.setenv("MPLBACKEND", "Agg")
    with sklearn.config_context():
        runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out

"""The page on export runs as it is written."""

import re
import textwrap
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "export.rst"

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


def some(events):
    """Every tenth event, to be quick."""
    for name in ("data", "target", "weight", "event_number"):
        events[name] = events[name][::10]
    return events


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", PAGE.read_text(), flags=re.MULTILINE
    )
    assert len(blocks) == 5
    scope = {"some": some}
    for block in blocks:
        code = textwrap.dedent(block).replace("n_estimators=100", "n_estimators=10")
        code = code.replace("load_higgs()", "some(load_higgs())")
        exec(compile(code, str(PAGE), "exec"), scope)
    assert "all within 1e-05" in capsys.readouterr().out
    assert scope["probabilities"].shape == (len(scope["events"].data), 2)
    names = {"tagger.onnx", "rotating.onnx", "bdt.json", "fold0.onnx", "fold1.onnx", "fold2.onnx"}
    assert {file.name for file in tmp_path.iterdir()} == names

"""Closure on real negative weights; see benchmarks/fxfx_closure.py."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
def test_closure_on_fxfx_events():
    spec = importlib.util.spec_from_file_location("fxfx", ROOT / "benchmarks" / "fxfx_closure.py")
    fxfx = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fxfx)
    if not (DATA / fxfx.FILE).exists():
        pytest.skip("the public LHE file is not beside the checkout")
    results, _, _ = fxfx.run(DATA / fxfx.FILE, policies=("refine", "drop", "abs"))
    for _, pvalue in results["refine"][0].values():
        assert pvalue > 1e-3
    for policy in ("drop", "abs"):
        for _, pvalue in results[policy][0].values():
            assert pvalue < 1e-20

import inspect
import subprocess
import sys
from pathlib import Path

import skhep_ml


def test_import_is_light():
    code = (
        "import sys, skhep_ml\n"
        "heavy = {'torch', 'xgboost', 'matplotlib', 'sklearn', 'pandas', 'imblearn', 'skopt'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_subpackages_leave_each_others_engines_alone():
    code = (
        "import sys, skhep_ml.metrics, skhep_ml.model_selection, skhep_ml.preprocessing\n"
        "import skhep_ml.impute, skhep_ml.weights, skhep_ml.linear_model, skhep_ml.ensemble\n"
        "import skhep_ml.plotting, skhep_ml.datasets\n"
        "heavy = {'torch', 'xgboost', 'matplotlib', 'imblearn', 'skopt'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_is_in_the_reference():
    reference = Path(__file__).parents[1] / "docs" / "api.rst"
    listed = set(reference.read_text(encoding="utf-8").split())
    for name in skhep_ml.__all__:
        module = getattr(skhep_ml, name)
        for public in getattr(module, "__all__", []):
            assert public in listed or inspect.ismodule(getattr(module, public)), (name, public)

import subprocess
import sys


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

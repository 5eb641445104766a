import importlib
import sys

import pytest

from skhep_ml._extras import import_extra


def test_installed_module_is_returned():
    assert import_extra("numpy.linalg", "plot") is importlib.import_module("numpy.linalg")


@pytest.mark.parametrize("module", ["absentpackage", "absentpackage.part"])
def test_missing_package_names_the_pip_command(module):
    with pytest.raises(ModuleNotFoundError) as caught:
        import_extra(module, "plot")
    assert str(caught.value) == ('absentpackage is not installed: run pip install "skhep-ml[plot]"')
    assert caught.value.name == "absentpackage"


def test_package_that_itself_lacks_something_tells_its_own_story(tmp_path, monkeypatch):
    (tmp_path / "halfpackage.py").write_text("import absentpackage\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'absentpackage'"):
        import_extra("halfpackage", "plot")
    assert "halfpackage" not in sys.modules

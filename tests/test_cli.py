import runpy
import subprocess
import sys

import pytest

from skhep_ml import __version__
from skhep_ml.cli import main


def one_line(text):
    return text.endswith("\n") and text.count("\n") == 1 and text.startswith("skhep-ml")


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"skhep-ml {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "command"),
        (["nonsense"], "nonsense"),
        (["demo", "--n-jobs", "two"], "two"),
        (["demo", "--wrong"], "--wrong"),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, said):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert said in error


def refuse_work(*args, **kwargs):
    msg = "work started"
    raise AssertionError(msg)


@pytest.mark.parametrize("below", ["", "/deeper/still"])
def test_unwritable_directory_is_found_before_any_work(tmp_path, monkeypatch, capsys, below):
    monkeypatch.setattr("skhep_ml._demo._analyse", refuse_work)
    (tmp_path / "file").write_text("mine")
    assert main(["demo", "--out", f"{tmp_path}/file{below}"]) == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert "cannot write to the output directory" in error
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("n_jobs", ["0", "-2"])
def test_n_jobs_is_checked_before_any_work(tmp_path, monkeypatch, capsys, n_jobs):
    monkeypatch.setattr("skhep_ml._demo._analyse", refuse_work)
    assert main(["demo", "--out", str(tmp_path / "out"), "--n-jobs", n_jobs]) == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert n_jobs in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_missing_extra_is_one_sentence_with_the_command(tmp_path, monkeypatch, capsys, package):
    monkeypatch.setattr("skhep_ml._demo._analyse", refuse_work)
    # None in sys.modules makes the import fail as that of a missing package
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert package in error
    assert 'pip install "skhep-ml[plot,report]"' in error
    assert not (tmp_path / "out").exists()


def test_damaged_data_is_one_line(tmp_path, monkeypatch, capsys):
    def damaged(**kwargs):
        msg = "the data file is damaged:\nreinstall"
        raise ValueError(msg)

    monkeypatch.setattr("skhep_ml._demo._sample.load_higgs", damaged)
    assert main(["demo", "--out", str(tmp_path)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "skhep-ml: error: the data file is damaged: reinstall"
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "results.json").exists()


def test_interrupt(tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("skhep_ml._demo._analyse", interrupt)
    assert main(["demo", "--out", str(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_demo_passes_its_options_on(tmp_path, monkeypatch, capsys):
    called = []

    def fake(out, n_jobs, *, stream):
        called.append((out, n_jobs, stream is sys.stderr))
        return {"numbers": 1}

    monkeypatch.setattr("skhep_ml._demo.run_demo", fake)
    monkeypatch.setattr("skhep_ml._demo.table", lambda results: f"table of {results}")
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--n-jobs", "3"]) == 0
    assert called == [("skhep-ml-demo", 3, True)]
    out = capsys.readouterr().out
    assert "table of {'numbers': 1}" in out
    assert "skhep-ml-demo/report.html" in out


def test_python_dash_m(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["skhep_ml", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("skhep_ml", run_name="__main__")
    assert stop.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_help_needs_no_heavy_import():
    code = (
        "import sys\nfrom skhep_ml.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'xgboost', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline

from skhep_ml._analysis._config import MistakesError, read_analysis
from skhep_ml._analysis._template import template
from skhep_ml._analysis._toml import Lines
from skhep_ml.model_selection import BayesSearchCV

SMALL = """input.event_number = "n"
[features]
a = "x"
b = "log1p(abs(y))"
[processes.signal]
files = "s.csv"
label = 1
[processes.background]
files = ["b*.csv"]
label = 0
[[pipeline]]
class = "AutoScaler"
[[pipeline]]
class = "LogisticRegression"
C = 0.5
"""


@pytest.fixture
def write(tmp_path):
    for name in ("s", "b1", "b2"):
        (tmp_path / f"{name}.csv").write_text("x,y\n1,2\n")

    def writer(text):
        path = tmp_path / "analysis.toml"
        path.write_text(text)
        return path

    return writer


def mistakes(path):
    with pytest.raises(MistakesError) as caught:
        read_analysis(path)
    return [line.removeprefix(f"{path}:") for line in caught.value.mistakes]


def test_what_is_read(write, tmp_path):
    analysis = read_analysis(write(SMALL))
    assert analysis.features == {"a": "x", "b": "log1p(abs(y))"}
    assert analysis.processes["signal"].files == [str(tmp_path / "s.csv")]
    assert len(analysis.processes["background"].files) == 2
    assert isinstance(analysis.model, Pipeline)
    assert analysis.model[-1].C == 0.5
    assert list(analysis.scoring) == ["roc_auc", "background_rejection"]
    assert analysis.folder == tmp_path / "skhep-ml-output"
    assert (analysis.n_splits, analysis.report, analysis.onnx) == (5, True, False)


def test_template_has_no_mistake_but_missing_files(write, tmp_path):
    found = mistakes(write(template("analysis.toml")))
    assert len(found) == 2
    assert all("no file matches" in line for line in found)
    for name in ("signal", "background"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.root").write_bytes(b"")
    analysis = read_analysis(write(template("analysis.toml")))
    assert analysis.scoring["background_rejection(signal_efficiency=0.5)"] is not None
    # what the comments show is right as well
    lines = [line.removeprefix("# ") for line in template("x").split("\n")[3:]]
    text = "\n".join(lines).replace('space = "auto" ', "# ")
    analysis = read_analysis(write(text))
    assert isinstance(analysis.model, BayesSearchCV)
    assert analysis.model.search_spaces == {
        "bdtclassifier__max_depth": (2, 8),
        "bdtclassifier__learning_rate": (0.02, 0.5, "log-uniform"),
    }
    assert (analysis.max_events, analysis.weight) == (100000, ["genWeight"])


@pytest.mark.parametrize(
    ("method", "kind", "space"),
    [
        ("bayes", BayesSearchCV, "{ low = 0.1, high = 2.0, log = true }"),
        ("random", RandomizedSearchCV, "{ low = 0.1, high = 2.0 }"),
        ("grid", GridSearchCV, "[0.1, 2.0]"),
    ],
)
def test_searches(write, method, kind, space):
    text = f'{SMALL}[search]\nmethod = "{method}"\nspace.logisticregression__C = {space}\n'
    assert type(read_analysis(write(text)).model) is kind


def test_nested_estimators_and_networks(write):
    text = (
        SMALL[: SMALL.index("[[pipeline]]")]
        + """
    [[pipeline]]
    class = "ColumnTransformer"
    transformers = [["one", {class = "sklearn.MinMaxScaler", feature_range = [0, 2]}, ["a"]]]
    [[pipeline]]
    class = "NetClassifier"
    module = "ResNet"
    module__dropout = 0.1
    max_epochs = 2
    """
    )
    scale, net = (step for _, step in read_analysis(write(text)).model.steps)
    assert type(scale).__module__.startswith("sklearn.compose")
    assert scale.transformers[0][1].feature_range == (0, 2)
    assert type(scale.transformers[0][1]).__module__.startswith("sklearn.")
    assert (net.module.__name__, net.max_epochs, net.module__dropout) == ("ResNet", 2, 0.1)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[features]", "[feature]", "2: feature: unknown key: did you mean 'features'?"),
        ('"x"', "3", "3: features.a: must be a text, got 3"),
        ("log1p(", "lg(", "4: features.b: in the expression 'lg(abs(y))': unknown function 'lg'"),
        ("abs(y)", "y.__class__", "4: features.b: in the expression"),
        ('"s.csv"', '"t.csv"', "6: processes.signal.files: no file matches 't.csv'"),
        ("label = 1", "label = -1", "7: processes.signal.label: must be an integer from 0"),
        ("label = 1", "label = 0", "5: processes: all have the label 0"),
        ("label = 1", "lable = 1", "7: processes.signal.lable: unknown key: did you mean 'label'"),
        ("label = 1", "label = 1\ncross_section = 2.0", "8: processes.signal.cross_section: needs"),
        ("AutoScaler", "os.system", "12: pipeline[0].class: no estimator is called 'os.system'"),
        ("AutoScaler", "BaseEstimator", "12: pipeline[0].class: no estimator is called"),
        ("LogisticRegression", "AutoScaler", "15: pipeline[1].C: AutoScaler has no parameter 'C'"),
        ('"n"', '"n"\ninput.selection = "x >"', "2: input.selection: in the expression 'x >'"),
        ('"n"', '"n"\ninput.weight = ["x", "w("]', "2: input.weight: in the expression 'w('"),
        ('"n"', '"n"\ninput.max_events = 0', "2: input.max_events: must be at least 1"),
        ('input.event_number = "n"', "", "1: input.event_number: is needed"),
        ("label = 1", "label = 1\nsum_weights = 'R'", "8: processes.signal.sum_weights: must be"),
        ("label = 1", "label = 1\nsum_weights = 2", "8: processes.signal.sum_weights: needs cross"),
        ("label = 1", "label = 1\nselection = 'x >'", "8: processes.signal.selection: in the"),
        ("processes.signal", 'processes."../s"', "5: processes.../s: the name '../s' cannot be"),
        ("C = 0.5", "c = 0.5", "15: pipeline[1].c: LogisticRegression has no parameter 'c'"),
        ('LogisticRegression"\nC = 0.5', 'AutoScaler"', "13: pipeline[1]: the last step must"),
        ('class = "AutoScaler"', "", "11: pipeline[0]: must be a table with class"),
    ],
)
def test_a_mistake_is_named_with_line_and_key(write, old, new, expected):
    assert old in SMALL
    found = mistakes(write(SMALL.replace(old, new, 1)))
    assert any(line.startswith(expected) for line in found), found


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("[folds]\nn_splits = 1", "18: folds.n_splits: must be at least 2"),
        ("[folds]\nvalidation_fold = 1", "18: folds.validation_fold: must be true or false"),
        ("[evaluation]\nscoring = ['auc']", "18: evaluation.scoring[0]: no scorer is called"),
        ("[evaluation]\nscoring = []", "18: evaluation.scoring: must be a list"),
        ("[output]\nbranch = 'a b'", "18: output.branch: must be a name"),
        ("[output]\nsignal = 2", "18: output.signal: no process has this label"),
        ("[search]\nmethod = 'tpe'", "18: search.method: must be"),
        ("[search]\nspace.C = [1]", "18: search.space.C: no parameter of the model"),
        ("[search]\nspace.logisticregression__C = 1", "18: search.space.logisticregression__C:"),
        ("[search]\nmethod = 'grid'", "17: search.space: a grid needs a list"),
        ("[search]\nmethod = 'random'\ntime_limit = 3", "17: search: time_limit is for"),
        ("output = 3", "16: pipeline[1].output: LogisticRegression has no parameter 'output'"),
    ],
)  # fmt: skip
def test_mistakes_in_other_tables(write, table, expected):
    found = mistakes(write(SMALL + ("\n" if table[0] == "[" else "") + table))
    assert any(line.startswith(expected) for line in found), found


def test_processes_of_their_own(write):
    text = SMALL.replace(
        "label = 1",
        'label = 1\ncross_section = 2\nsum_weights = ["Runs", "sum"]\nweight = ["v", "w"]\n'
        'selection = "x > 1"',
    ).replace('"n"', '"n"\ninput.luminosity = 3')
    analysis = read_analysis(write(text))
    signal = analysis.processes["signal"]
    assert signal.sum_weights == ("Runs", "sum")
    assert (signal.weight, signal.selection) == (["v", "w"], "x > 1")
    assert analysis.processes["background"].weight is None


THIRD = '[processes.third]\nfiles = "b1.csv"\nlabel = 2\n'


def test_three_labels(write):
    analysis = read_analysis(write(SMALL + THIRD + "[output]\nsignal = 2\n"))
    assert list(analysis.scoring) == ["roc_auc"]
    assert analysis.scoring["roc_auc"].options["multi_class"] == "ovr"
    assert analysis.signal == 2
    (found,) = mistakes(write(SMALL + THIRD))
    assert "output.signal: is needed for the report, with 3 labels" in found
    accuracy = '{name = "confusion", metric = "accuracy"}'
    asked = f'[evaluation]\nscoring = ["ams", {accuracy}]\n[output]\nreport = false\n'
    (found,) = mistakes(write(SMALL + THIRD + asked))
    assert found.startswith("20: evaluation.scoring[0]: scorer 'ams' cannot be used with 3 labels")
    search = "[search]\nscoring = 'background_rejection'\n[output]\nreport = false\n"
    (found,) = mistakes(write(SMALL + THIRD + search))
    assert "search.scoring: scorer 'background_rejection' cannot be used" in found


def test_windows_files(write):
    path = write("")
    path.write_bytes(("\ufeff" + SMALL.replace("\n", "\r\n")).encode())
    assert read_analysis(path).features["a"] == "x"


def test_all_mistakes_at_once(write):
    text = SMALL.replace("log1p", "lg").replace("C = 0.5", "D = 1") + "[search]\nscoring = 'x'\n"
    assert [line.split(":")[0] for line in mistakes(write(text))] == ["4", "15", "17"]


def test_not_toml(write):
    with pytest.raises(ValueError, match=r"analysis.toml is not TOML: .* line 2"):
        read_analysis(write("a = 1\nb = = 2\n"))


KEYS = st.sampled_from(["a", "b", '"c d"', "e.f"])
VALUES = st.sampled_from(["1", "[\n1,\n2\n]", '"""x\n[no]\n"""', "{g = 1, h = [2]}", "'#'"])


@given(st.lists(st.tuples(st.booleans(), st.permutations(["a", "b", '"c d"', "e.f"]), VALUES)))
def test_lines_are_those_of_the_keys(tables):
    text, expected, n_arrays = "", {}, 0
    for k, (is_array, keys, value) in enumerate(tables):
        text += "# t\n[[list]]\n" if is_array else f"[table{k}]\n"
        path = ("list", n_arrays) if is_array else (f"table{k}",)
        n_arrays += is_array
        expected[path] = text.count("\n")
        for key in keys:
            expected[(*path, *key.strip('"').split("."))] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    tomllib.loads(text)
    lines = Lines(text)
    assert {path: lines.of(path) for path in expected} == expected


@given(st.text(alphabet="ab[]{}=\"'.\n#1, ", max_size=60))
def test_any_text_is_refused_in_words(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "f.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"f\.toml"):
        read_analysis(path)

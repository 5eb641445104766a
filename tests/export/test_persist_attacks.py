"""Files that are damaged, or made to do harm: each is refused with a sentence, and nothing runs."""

import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.neural_network import NetClassifier

pytest.importorskip("skops")
pytest.importorskip("safetensors")
import skops.io

from skhep_ml.export import load, read_manifest, save

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def saved(folder):
    """Path of a good file for each kind of model."""
    models = {
        "linear": LogisticRegression(),
        "bdt": BDTClassifier(n_estimators=3, max_depth=2, n_jobs=1),
        "forest": RandomForestClassifier(2, max_depth=2, random_state=0),
        "boosting": HistGradientBoostingClassifier(max_iter=2, random_state=0),
        "net": NetClassifier(module__hidden=(4,), max_epochs=1, device="cpu", random_state=0),
    }
    paths = {}
    for name, model in models.items():
        paths[name] = folder / f"{name}.skml"
        save(model.fit(X, Y), paths[name])
    return paths


def read_members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path, members, *, manifest=None, compression=zipfile.ZIP_STORED):
    """A file whose checksums are right, as a forger would make it."""
    members = {name: part for name, part in members.items() if name != "manifest.json"}
    described = {
        "format": "skhep_ml model",
        "format_version": 1,
        "members": {
            name: {"size": len(part), "sha256": hashlib.sha256(part).hexdigest()}
            for name, part in members.items()
        },
        **(manifest or {}),
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("manifest.json", json.dumps(described))
        for name, part in members.items():
            archive.writestr(name, part)
    return path


def zipped(members, compression=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, part in members.items():
            archive.writestr(name, part)
    return content.getvalue()


def with_state(path, schema, extra=()):
    """A file with a forged schema."""
    if isinstance(schema, dict):
        schema = json.dumps({"protocol": 2, "_skops_version": "0.16.0", **schema})
    state = zipped({"schema.json": schema, **dict(extra)})
    return write_members(path, {"state.skops": state})


def changed_schema(source, target, change):
    """A copy of a file with its schema changed by a function of the text."""
    members = read_members(source)
    inner = {}
    with zipfile.ZipFile(io.BytesIO(members["state.skops"])) as archive:
        inner = {name: archive.read(name) for name in archive.namelist()}
    old = inner["schema.json"].decode()
    new = change(old)
    assert new != old
    members["state.skops"] = zipped({**inner, "schema.json": new})
    return write_members(target, members)


def loaded_or_refusal(path):
    """What a file holds and None, or None and the sentence with which it is refused."""
    try:
        return load(path), None
    except ValueError as error:
        return None, str(error)


# --- damage ---------------------------------------------------------------------------------------


def test_the_forger_of_these_tests_makes_files_that_load(saved, folder):
    path = write_members(folder / "copy.skml", read_members(saved["linear"]))
    np.testing.assert_array_equal(load(path).predict(X), load(saved["linear"]).predict(X))


def test_flipped_bytes_are_found(saved, folder):
    content = bytearray(saved["bdt"].read_bytes())
    path = folder / "flipped.skml"
    for position in range(0, len(content), len(content) // 40):
        flipped = content.copy()
        flipped[position] ^= 0x55
        path.write_bytes(flipped)
        model, refusal = loaded_or_refusal(path)
        if refusal is None:  # dates and the like, which hold no content
            np.testing.assert_array_equal(model.predict(X), load(saved["bdt"]).predict(X))
        else:
            assert refusal.startswith(f"cannot load {str(path)!r}: ")


def test_a_changed_member_is_found(saved, folder):
    members = read_members(saved["bdt"])
    good = json.loads(members["manifest.json"])
    booster = bytearray(members["boosters/0.ubj"])
    booster[len(booster) // 2] ^= 1
    path = folder / "changed.skml"
    write_members(path, {**members, "boosters/0.ubj": bytes(booster)}, manifest=good)
    with pytest.raises(ValueError, match=r"'boosters/0.ubj' is damaged: the checksum differs"):
        load(path)
    with pytest.raises(ValueError, match="checksum differs"):
        read_manifest(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_cut_files(saved, folder, share):
    content = saved["linear"].read_bytes()
    path = folder / "cut.skml"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="it is no model file, or it was cut short"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", pickle.dumps([1, 2]), b"PK\x03\x04"])
def test_other_files(folder, content):
    path = folder / "other.skml"
    path.write_bytes(content)
    for read in (load, read_manifest):
        with pytest.raises(ValueError, match="it is no model file"):
            read(path)


def test_another_zip(folder):
    path = folder / "zip.skml"
    path.write_bytes(zipped({"manifest.json": "{}"}))
    with pytest.raises(ValueError, match="zip archive, but no model file of skhep_ml"):
        load(path)
    path.write_bytes(zipped({"readme.txt": "hello"}))
    with pytest.raises(ValueError, match=r"'readme.txt', which model files have not"):
        load(path)
    path.write_bytes(zipped({}))
    with pytest.raises(ValueError, match="no model file"):
        load(path)


def test_a_newer_format(saved, folder):
    newer = {"format_version": 2, "versions": {"skhep_ml": "9.1"}}
    path = write_members(folder / "newer.skml", read_members(saved["linear"]), manifest=newer)
    with pytest.raises(ValueError, match=r"format 2 of skhep_ml 9.1.*update skhep-ml"):
        load(path)


@pytest.mark.parametrize("version", [None, "1", 0, True, 1.0])
def test_a_senseless_format(saved, folder, version):
    path = write_members(
        folder / "odd.skml", read_members(saved["linear"]), manifest={"format_version": version}
    )
    with pytest.raises(ValueError, match="format version"):
        load(path)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_senseless_manifest(saved, folder, manifest):
    members = {**read_members(saved["linear"]), "manifest.json": manifest}
    path = folder / "manifest.skml"
    path.write_bytes(zipped(members))
    for read in (load, read_manifest):
        with pytest.raises(ValueError, match="cannot load"):
            read(path)


def test_members_that_the_manifest_does_not_list(saved, folder):
    members = read_members(saved["linear"])
    good = json.loads(members["manifest.json"])
    path = folder / "more.skml"
    write_members(path, {**members, "boosters/9.ubj": b"x"}, manifest=good)
    with pytest.raises(ValueError, match=r"does not agree.*'boosters/9.ubj'"):
        load(path)


# --- archives -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../evil.ubj", "/etc/passwd", "boosters/../../x", "state.pkl", "model.joblib", "a\\..\\b"],
)
def test_members_with_other_names(saved, folder, name):
    path = write_members(
        folder / "names.skml", {**read_members(saved["linear"]), name: pickle.dumps(1)}
    )
    with pytest.raises(ValueError, match="which model files have not"):
        load(path)
    assert not (folder.parent / "evil.ubj").exists()


def test_the_same_member_twice(saved, folder):
    path = folder / "twice.skml"
    path.write_bytes(saved["linear"].read_bytes())
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(path, "a") as archive,
    ):
        warnings.simplefilter("ignore")
        archive.writestr("state.skops", b"other")
    with pytest.raises(ValueError, match="which model files have not"):
        load(path)


def test_compressed_members_cannot_grow(saved, folder):
    bomb = {**read_members(saved["linear"]), "boosters/0.ubj": bytes(5_000_000)}
    path = write_members(folder / "bomb.skml", bomb, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    with pytest.raises(ValueError, match="is compressed, which model files are not"):
        load(path)
    inner = zipped({"schema.json": " " * 5_000_000}, zipfile.ZIP_DEFLATED)
    path = write_members(folder / "bomb.skml", {"state.skops": inner})
    with pytest.raises(ValueError, match="is compressed"):
        load(path)


def test_members_that_claim_more_than_there_is(saved, folder):
    content = bytearray(saved["linear"].read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    path = folder / "claim.skml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"claim \d+ bytes, more than the \d+ bytes of the file"):
        load(path)


def npy(shape, descr, data=b""):
    content = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue() + data


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (npy((10**15,), "<f8"), "claims the shape"),
        (npy((2,), "|O", pickle.dumps([1, 2])), "holds pickled objects"),
        (npy((1,), [("a", "|O")], pickle.dumps([1])), "holds pickled objects"),
        (b"not an array", "magic"),
        (npy((2,), "<f8", bytes(8)), "claims the shape"),
    ],
)
def test_forged_arrays(folder, array, match):
    node = {
        "__class__": "ndarray",
        "__module__": "numpy",
        "__loader__": "NdArrayNode",
        "type": "numpy",
        "file": "1.npy",
    }
    path = with_state(folder / "array.skml", node, {"1.npy": array})
    with pytest.raises(ValueError, match=match):
        load(path)


# --- code -----------------------------------------------------------------------------------------


class Harm:
    """What a file must not be able to do: leave a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def json_node(value):
    return {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "content": json.dumps(value),
        "is_json": True,
    }


def node(loader, name, **fields):
    module, _, cls = name.rpartition(".")
    return {"__class__": cls, "__module__": module, "__loader__": loader, **fields}


def tuple_node(*values):
    return node("TupleNode", "builtins.tuple", content=list(values))


def list_node(*values):
    return node("ListNode", "builtins.list", content=list(values))


def dict_node(**values):
    keys = list_node(*(node("TypeNode", "builtins.str") for _ in values))
    return node("DictNode", "builtins.dict", content=values, key_types=keys)


def object_node(name, **state):
    return node("ObjectNode", name, content=dict_node(**state))


def call(name, *args):
    return node("ConstructorFromReduceNode", name, content=tuple_node(*args))


def part(name, *args):
    return call(f"skhep_ml.export._persist_parts.{name}", *args)


def harms(path):
    """Schemas each of which would make a folder, if the loader let it."""
    target = json_node(str(path))
    system = node("FunctionNode", "os.mkdir")
    pickled = node("BytesNode", "builtins.bytes", file="1.bin")
    yield "a call", call("os.mkdir", target)
    yield "a call by posix", call("posix.mkdir", target)
    yield "a function", system
    yield "a type", node("TypeNode", "os.mkdir")
    yield (
        "a partial",
        node(
            "PartialNode",
            "functools.partial",
            content={
                "func": system,
                "args": tuple_node(target),
                "kwds": dict_node(),
                "namespace": dict_node(),
            },
        ),
    )
    yield (
        "a method",
        node(
            "MethodNode",
            "pathlib.PosixPath",
            content={"func": "mkdir", "obj": call("pathlib.PosixPath", target)},
        ),
    )
    yield (
        "an operator",
        node("OperatorFuncNode", "operator.methodcaller", attrs=tuple_node(json_node("mkdir"))),
    )
    yield (
        "a key",
        node(
            "DictNode",
            "builtins.dict",
            content={str(path): json_node(1)},
            key_types=list_node(node("TypeNode", "os.mkdir")),
        ),
    )
    yield "a class of dict", node("DictNode", "os.mkdir", content={}, key_types=list_node())
    yield "a class of list", node("ListNode", "os.mkdir", content=[target])
    yield "a random state", node("RandomStateNode", "os.getcwd", content=dict_node())
    yield (
        "a random generator",
        node(
            "RandomGeneratorNode",
            "numpy.random._generator.Generator",
            content={
                "bit_generator": dict_node(bit_generator=json_node("seed")),
                "seed_seq": dict_node(),
            },
        ),
    )
    yield "an old protocol", {**node("FunctionNode", "os.mkdir"), "content": {}, "protocol": 0}
    yield (
        "a sparse matrix",
        node("SparseMatrixNode", "scipy.sparse._csr.csr_matrix", type="scipy", file="1.bin"),
    )
    yield (
        "a loss",
        node("LossNode", "os.mkdir", content=dict_node(), __reduce__={"args": tuple_node(target)}),
    )
    yield (
        "a tree",
        node(
            "TreeNode",
            "sklearn.tree._tree.Tree",
            content=dict_node(),
            __reduce__={"args": tuple_node()},
        ),
    )
    # skorch restores its nets from a pickle in their state
    yield (
        "a pickled net",
        object_node(
            "skhep_ml.neural_network._classifier.NetClassifier",
            __skhep_ml__=dict_node(device=json_node("cpu")),
            device=json_node("cpu"),
            __cuda_dependent_attributes__=pickled,
        ),
    )
    yield (
        "a pickled skorch net",
        object_node(
            "skorch.classifier.NeuralNetClassifier",
            device=json_node("cpu"),
            __cuda_dependent_attributes__=pickled,
        ),
    )
    yield "a booster", object_node("xgboost.core.Booster", handle=pickled)
    yield "a module to import", object_node("antigravity.Anything")
    yield "a command line", object_node("skhep_ml.__main__.main")
    yield "a private class", object_node("skhep_ml.neural_network._checkpoint.Resumable")
    yield "a reference", part("Reference", json_node("os"), json_node("mkdir"))
    yield "a reference to numpy", part("Reference", json_node("numpy"), json_node("load"))
    yield "a builtin", part("Reference", json_node("builtins"), json_node("eval"))
    yield "a hidden reference", part("Reference", json_node("numpy"), json_node("__loader__"))
    yield "a preset", part("Preset", node("TypeNode", "pathlib.Path"), json_node("cwd"))
    yield "a trusted function", part("Trusted", json_node("os.mkdir"))
    yield "a random kind", part("RandomGenerator", dict_node(bit_generator=json_node("seed")))
    yield "a distribution", part("Distribution", json_node("mkdir"), tuple_node(), dict_node())
    yield "a dimension", part("Dimension", json_node("check_dimension"), dict_node())
    yield "a number", part("Number", json_node("object"), target)
    yield "a missing member", part("Boosted", json_node("../x"), json_node("cpu"), json_node(1))
    yield (
        "a net",
        part(
            "Net",
            json_node("os"),
            dict_node(),
            dict_node(),
            json_node(None),
            json_node("nets/0.safetensors"),
        ),
    )
    # harmless classes that a file must not call with its own arguments
    yield "a call of an estimator", call("skhep_ml.linear_model._logistic.LogisticRegression")
    yield "a cached node", {**node("CachedNode", "builtins.str"), "__id__": 1}


NAMES = [name for name, _ in harms(Path("x"))]


@pytest.mark.parametrize("where", ["alone", "inside"])
@pytest.mark.parametrize("name", NAMES)
def test_no_code_runs(name, where, folder):
    trace = folder / f"trace {name}"
    schema = dict(harms(trace))[name]
    if where == "inside":
        protocol = {"protocol": schema.pop("protocol")} if "protocol" in schema else {}
        schema = {
            **object_node("sklearn.linear_model._logistic.LogisticRegression", coef_=schema),
            **protocol,
        }
    pickled = pickle.dumps(Harm(trace))
    path = with_state(folder / "harm.skml", schema, {"1.bin": pickled})
    before = set(sys.modules)
    with pytest.raises(ValueError, match=r"harm.skml': \S"):
        load(path)
    assert not trace.exists()
    assert not {"antigravity", "skhep_ml.__main__"} & (set(sys.modules) - before)


def test_the_harm_is_real(folder):
    # the pickle that the files above carry does what it says where it is read
    trace = folder / "real"
    pickle.loads(pickle.dumps(Harm(trace)))
    assert trace.exists()


def test_what_skops_would_write_of_a_partial_is_refused(folder):
    import functools
    import operator

    for harmful in (functools.partial(os.mkdir, "x"), operator.methodcaller("mkdir"), os.mkdir):
        path = write_members(folder / "skops.skml", {"state.skops": skops.io.dumps([harmful])})
        with pytest.raises(ValueError, match="which models may not hold"):
            load(path)


def test_pickles_in_place_of_members_are_not_read(saved, folder):
    for kind, name in [("bdt", "boosters/0.ubj"), ("net", "nets/0.safetensors")]:
        trace = folder / f"trace {kind}"
        members = {**read_members(saved[kind]), name: pickle.dumps(Harm(trace))}
        with pytest.raises(ValueError, match="cannot load"):
            load(write_members(folder / "pickled.skml", members))
        members = {**read_members(saved[kind]), "state.skops": pickle.dumps(Harm(trace))}
        with pytest.raises(ValueError, match="it is no model file"):
            load(write_members(folder / "pickled.skml", members))
        assert not trace.exists()


def test_a_net_cannot_be_told_to_replace_its_methods(saved, folder):
    path = changed_schema(
        saved["net"], folder / "set.skml", lambda text: text.replace('"n_features_in_"', '"infer"')
    )
    with pytest.raises(ValueError, match="it sets 'infer' of a net"):
        load(path)
    path = changed_schema(
        saved["net"], folder / "set.skml", lambda text: text.replace('"max_epochs"', '"_run"')
    )
    with pytest.raises(ValueError, match="it sets '_run' of a net"):
        load(path)


def test_weights_of_another_net(saved, folder):
    other = folder / "wide.skml"
    save(
        NetClassifier(module__hidden=(5,), max_epochs=1, device="cpu", random_state=0).fit(X, Y),
        other,
    )
    name = "nets/0.safetensors"
    members = {**read_members(saved["net"]), name: read_members(other)[name]}
    with pytest.raises(ValueError, match="its weights do not fit the module of the net"):
        load(write_members(folder / "mixed.skml", members))


# --- trees that compiled code would follow anywhere -----------------------------------------------


def with_array(source, target, change):
    """A copy of a file, every array of nodes changed."""
    members = read_members(source)
    inner = {}
    with zipfile.ZipFile(io.BytesIO(members["state.skops"])) as archive:
        for name in archive.namelist():
            part = archive.read(name)
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(part))
                if array.dtype.names:
                    change(array)
                    content = io.BytesIO()
                    np.save(content, array)
                    part = content.getvalue()
            inner[name] = part
    members["state.skops"] = zipped(inner)
    return write_members(target, members)


@pytest.mark.parametrize(
    ("kind", "field", "value", "match"),
    [
        ("forest", "left_child", 10**9, "child does not exist"),
        ("forest", "right_child", 0, "child does not exist"),
        ("forest", "feature", 10**6, "looks at no column of the 3"),
        ("boosting", "left", 10**6, "child does not exist"),
        ("boosting", "right", 0, "child does not exist"),
    ],
)
def test_trees_that_lead_nowhere(saved, folder, kind, field, value, match):
    def change(nodes):
        nodes[field][0] = value

    path = with_array(saved[kind], folder / "tree.skml", change)
    with pytest.raises(ValueError, match=match):
        load(path)


def test_boosters_that_lead_nowhere(saved, folder):
    xgboost = pytest.importorskip("xgboost")
    members = read_members(saved["bdt"])
    booster = xgboost.Booster()
    booster.load_model(bytearray(members["boosters/0.ubj"]))
    paths = []
    for field in ("left_children", "right_children", "split_indices"):
        model = json.loads(booster.save_raw("json"))
        model["learner"]["gradient_booster"]["model"]["trees"][0][field][0] = 10**6
        members["boosters/0.ubj"] = json.dumps(model).encode()
        paths.append(str(write_members(folder / f"{field}.skml", members)))
    # in a process of its own: that the engine's reader survives is not ours to promise
    code = (
        "import sys\n"
        "class NoTorch:\n"  # skops would import it, which takes longer than all the rest
        "    def find_spec(name, *args):\n"
        "        if name == 'torch': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoTorch)\n"
        "from skhep_ml.export import load\n"
        "for path in sys.argv[1:]:\n"
        "    try: load(path)\n"
        "    except ValueError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert [
        line.startswith(f"cannot load {path!r}") for line, path in zip(lines, paths, strict=True)
    ] == [True] * 3


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_change_of_a_schema_ends_in_one_sentence(saved, folder, data):
    names = ("__class__", "__module__", "__loader__", "content", "type", "file", "__id__")

    def change(text):
        schema = json.loads(text)
        nodes, waiting = [], [schema]
        while waiting:
            thing = waiting.pop()
            if isinstance(thing, dict):
                nodes.append(thing)
            waiting += (
                thing.values()
                if isinstance(thing, dict)
                else thing
                if isinstance(thing, list)
                else ()
            )
        chosen = data.draw(st.sampled_from(nodes))
        other = data.draw(st.sampled_from(nodes))
        name = data.draw(st.sampled_from(names))
        chosen[name] = data.draw(
            st.one_of(
                st.just(other.get(name)),
                st.just(json.loads(json.dumps(other))),
                st.text(max_size=8),
                st.integers(),
                st.none(),
            )
        )
        return json.dumps(schema) + " "

    path = changed_schema(saved["linear"], folder / "fuzzed.skml", change)
    _, refusal = loaded_or_refusal(path)
    if refusal is not None:
        assert refusal.startswith(f"cannot load {str(path)!r}: ")
        assert "\n" not in refusal

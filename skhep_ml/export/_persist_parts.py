"""Stand-ins in a saved model for what is stored in a form of its own, or checked when it is read.

In the file a stand-in is "a class of this module, called with these plain values". Its ``__new__``
gives back the thing itself, so that a loaded model holds no stand-ins.
"""

from __future__ import annotations

import inspect
import json
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._device import cuda_device_count
from skhep_ml._extras import import_extra
from skhep_ml.export._persist_types import find_reference


class Files:
    """Members of an archive beside the state, and what the user trusts, while it is read.

    Parameters
    ----------
    members : mapping of str to bytes
        Content by name.
    trusted : mapping of str to class or function
        What the user vouches for, by full name.
    """

    def __init__(self, members: Mapping[str, bytes], trusted: Mapping[str, Any]) -> None:
        self.members = members
        self.trusted = trusted


#: The archive that is being read.
READING: ContextVar[Files] = ContextVar("READING")


class StandIn:
    """Base: `of` makes a stand-in to be saved, calling the class makes the thing itself."""

    args: tuple[Any, ...]

    @classmethod
    def of(cls, *args: Any) -> StandIn:
        """Stand-in with the arguments from which `build` makes the thing."""
        made = object.__new__(cls)
        made.args = args
        return made

    def __new__(cls, *args: Any) -> Any:
        return cls.build(*args)

    def __reduce__(self) -> Any:
        return type(self), self.args

    @classmethod
    def build(cls, *args: Any) -> Any:
        """Make the thing from plain values, all of which may be forged."""
        raise NotImplementedError


class Number(StandIn):
    """A NumPy scalar."""

    @classmethod
    def build(cls, dtype: str, value: Any) -> Any:
        """Make it from the name of its type and its value."""
        kind = np.dtype(dtype)
        if kind.kind not in "biufU":
            msg = f"it holds a number of type {dtype!r}"
            raise ValueError(msg)
        return kind.type(value)


class Pairs(StandIn):
    """A dict whose keys are not all strings."""

    @classmethod
    def build(cls, items: list[tuple[Any, Any]], ordered: bool) -> Any:
        """Make it from pairs of keys and values."""
        return OrderedDict(items) if ordered else dict(items)


class FrozenSet(StandIn):
    """A frozenset."""

    @classmethod
    def build(cls, items: list[Any]) -> Any:
        """Make it from its elements."""
        return frozenset(items)


class RandomGenerator(StandIn):
    """A generator of NumPy; streams that it would spawn are not kept."""

    KINDS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")

    @classmethod
    def build(cls, state: dict[str, Any]) -> Any:
        """Make it from the state of its bit generator."""
        if state["bit_generator"] not in cls.KINDS:
            msg = f"it holds random numbers of the kind {state['bit_generator']!r}"
            raise ValueError(msg)
        generator = getattr(np.random, state["bit_generator"])()
        generator.state = state
        return np.random.Generator(generator)


class Reference(StandIn):
    """A public function or class from the list of `find_reference`."""

    @classmethod
    def build(cls, home: str, name: str) -> Any:
        """Look it up."""
        return find_reference(home, name)


class Preset(StandIn):
    """A class method of a module of this package, such as ``ParticleNet.lite``."""

    @classmethod
    def build(cls, owner: Any, name: str) -> Any:
        """Look it up in its class, which `Reference` found."""
        from torch.nn import Module

        known = isinstance(owner, type) and issubclass(owner, Module)
        if not (known and owner.__module__.startswith("skhep_ml.") and is_preset(owner, name)):
            msg = f"it refers to {name!r} of {owner!r}, which models may not hold"
            raise ValueError(msg)
        return getattr(owner, name)


def is_preset(owner: type, name: str) -> bool:
    """Whether a class defines a public class method of this name itself."""
    return isinstance(vars(owner).get(name), classmethod) and not name.startswith("_")


class Trusted(StandIn):
    """A function or class that the user vouches for."""

    @classmethod
    def build(cls, name: str) -> Any:
        """Look it up among what `load` was given."""
        trusted = READING.get().trusted
        if name not in trusted:
            msg = f"it refers to {name}, which is not of this package: pass it in trusted=[...]"
            raise ValueError(msg)
        return trusted[name]


class Sparse(StandIn):
    """A sparse matrix or array, as its three arrays."""

    @classmethod
    def build(cls, is_array: bool, layout: str, shape: Any, parts: tuple[Any, Any, Any]) -> Any:
        """Make it, with its indices checked."""
        from scipy import sparse

        if layout not in ("csr", "csc"):
            msg = f"it holds a sparse matrix of layout {layout!r}"
            raise ValueError(msg)
        make = getattr(sparse, f"{layout}_{'array' if is_array else 'matrix'}")
        matrix = make(tuple(parts), shape=tuple(shape))
        matrix.check_format(full_check=True)
        return matrix


class DecisionTree(StandIn):
    """The nodes of a tree of scikit-learn, whose predictions follow them without looking."""

    @classmethod
    def build(cls, n_features: int, n_classes: Any, n_outputs: int, state: dict[str, Any]) -> Any:
        """Make it, with its nodes checked."""
        from sklearn.tree._tree import Tree

        nodes = state["nodes"]
        check_tree(
            [nodes[name].astype(np.int64) for name in ("left_child", "right_child", "feature")],
            n_features,
        )
        if state["node_count"] != len(nodes):
            msg = f"a tree has {len(nodes)} nodes, but counts {state['node_count']}"
            raise ValueError(msg)
        tree = Tree(n_features, np.asarray(n_classes, dtype=np.intp), n_outputs)
        tree.__setstate__(state)
        return tree


class BoostedTree(StandIn):
    """A tree of scikit-learn's histogram boosting, whose predictions do not look either."""

    @classmethod
    def build(cls, nodes: Any, binned: Any, raw: Any) -> Any:
        """Make it, with its nodes checked."""
        from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
        from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

        if nodes.dtype != PREDICTOR_RECORD_DTYPE:
            msg = "a tree has nodes of another type"
            raise ValueError(msg)
        leaf = nodes["is_leaf"] == 1
        children = [np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right")]
        feature = nodes["feature_idx"].astype(np.int64)
        check_tree([*children, feature], int(feature.max(initial=0)) + 1)
        used = nodes["bitset_idx"][(nodes["is_categorical"] == 1) & ~leaf]
        for sets in (binned, raw):
            if sets.dtype != np.uint32 or sets.shape[1:] != (8,) or (used >= len(sets)).any():
                msg = "a tree has categories that do not exist"
                raise ValueError(msg)
        return TreePredictor(nodes, binned, raw)


def check_tree(arrays: list[NDArray[Any]], n_features: int) -> None:
    """Check the children and features of a tree's nodes.

    Parameters
    ----------
    arrays : list of three ndarray of int, shape (n_nodes,)
        Left child, right child and feature of every node; children are -1 in a leaf, and come
        after their parent.
    n_features : int
        Columns of the table that the tree looks at.

    Raises
    ------
    ValueError
        Predictions would leave the tree or the table, or not end.
    """
    left, right, feature = arrays
    if not len(left) or not len(left) == len(right) == len(feature):
        msg = "a tree has no nodes, or columns of different length"
        raise ValueError(msg)
    inner = left != -1
    parent = np.flatnonzero(inner)
    for child in (left, right):
        if (child[inner] <= parent).any() or (child >= len(left)).any():
            msg = "a tree has a node whose child does not exist"
            raise ValueError(msg)
    if (right[~inner] != -1).any() or not np.isin(feature[inner], range(n_features)).all():
        msg = f"a tree has a node that looks at no column of the {n_features}"
        raise ValueError(msg)


class Boosted(StandIn):
    """A booster of xgboost, in its own UBJSON beside the state."""

    @classmethod
    def build(cls, member: str, device: str, n_threads: int) -> Any:
        """Make it from a member of the archive."""
        xgboost = import_extra("xgboost", extra="all")
        booster = xgboost.Booster()
        booster.load_model(bytearray(_member(member)))
        check_booster(json.loads(booster.save_raw("json")))
        on_gpu = str(device).startswith("cuda") and cuda_device_count() > 0
        booster.set_param({"device": "cuda" if on_gpu else "cpu", "nthread": int(n_threads)})
        return booster


def check_booster(model: Any) -> None:
    """Check the trees of a booster, given as its JSON.

    Raises
    ------
    ValueError
        Predictions would leave a tree or the table, or not end.
    """
    learner = model["learner"]
    n_features = int(learner["learner_model_param"]["num_feature"])
    booster = learner["gradient_booster"]
    booster = booster.get("gbtree", booster)  # dart holds one
    for tree in booster["model"].get("trees", ()):
        names = ("left_children", "right_children", "split_indices")
        check_tree([np.asarray(tree[name], dtype=np.int64) for name in names], n_features)


def booster_bytes(booster: Any) -> tuple[bytes, str, int]:
    """UBJSON of a booster, its device and its number of threads."""
    generic = json.loads(booster.save_config())["learner"]["generic_param"]
    return bytes(booster.save_raw("ubj")), generic["device"], int(generic["nthread"])


class Dimension(StandIn):
    """A range of a Bayesian search."""

    KINDS = ("Categorical", "Integer", "Real")

    @classmethod
    def build(cls, kind: str, options: dict[str, Any]) -> Any:
        """Make it from its constructor's arguments."""
        from skopt import space

        if kind not in cls.KINDS:
            msg = f"it holds a range of the kind {kind!r}"
            raise ValueError(msg)
        return getattr(space, kind)(**options)


def dimension_options(dimension: Any) -> dict[str, Any]:
    """Arguments of the constructor of a range."""
    names = inspect.signature(type(dimension)).parameters
    return {
        name: getattr(dimension, "transform_" if name == "transform" else name) for name in names
    }


class Distribution(StandIn):
    """A distribution of scipy.stats with its parameters, as random searches take them."""

    @classmethod
    def build(cls, name: str, args: Any, options: dict[str, Any]) -> Any:
        """Make it from its name and parameters."""
        from scipy import stats

        generator = getattr(stats, name, None)
        if not isinstance(generator, (stats.rv_continuous, stats.rv_discrete)):
            msg = f"it holds a distribution {name!r}, which scipy.stats does not have"
            raise ValueError(msg)
        return generator(*args, **options)


class Net(StandIn):
    """A net: its parameters and fitted attributes, its weights beside the state."""

    @classmethod
    def build(cls, *args: Any) -> Any:
        """Make it from its description and a member of the archive."""
        from skhep_ml.export._persist_nets import build_net

        kind, parameters, fitted, slots, member = args
        return build_net(kind, parameters, fitted, slots, _member(member))


class TrainingHistory(StandIn):
    """What skorch recorded of every epoch."""

    @classmethod
    def build(cls, epochs: list[dict[str, Any]]) -> Any:
        """Make it from one dict an epoch."""
        from skorch.history import History

        return History(epochs)


class EmptyFrame(StandIn):
    """A DataFrame without rows, as the models keep it that generate DataFrames."""

    LIBRARIES = ("pandas", "polars")

    @classmethod
    def build(cls, library: str, columns: list[tuple[Any, str]]) -> Any:
        """Make it from the names and types of its columns."""
        kinds = {name: np.dtype(kind) for name, kind in columns}
        if library not in cls.LIBRARIES or any(kind.kind not in "biuf" for kind in kinds.values()):
            msg = f"it holds a DataFrame of {library!r} with columns that are no numbers"
            raise ValueError(msg)
        make = import_extra(library, extra="all").DataFrame
        return make({name: np.empty(0, kind) for name, kind in kinds.items()})


class NeighborTree(StandIn):
    """A tree of neighbours of scikit-learn, which its points determine."""

    KINDS = ("BallTree", "KDTree")
    METRICS = ("chebyshev", "euclidean", "haversine", "manhattan")

    @classmethod
    def build(cls, kind: str, points: Any, leaf_size: int, metric: str, weight: Any) -> Any:
        """Make it from its points and their weights."""
        from sklearn import neighbors

        if kind not in cls.KINDS or metric not in cls.METRICS:
            msg = f"it holds a {kind!r} of the metric {metric!r}"
            raise ValueError(msg)
        tree = getattr(neighbors, kind)
        return tree(points, leaf_size=leaf_size, metric=metric, sample_weight=weight)


def _member(name: str) -> bytes:
    members = READING.get().members
    if name not in members:
        msg = f"it names {name!r}, which is not in the file"
        raise ValueError(msg)
    return members[name]


STAND_INS = {
    f"{cls.__module__}.{cls.__name__}": cls
    for cls in (
        Boosted,
        BoostedTree,
        DecisionTree,
        Dimension,
        Distribution,
        EmptyFrame,
        FrozenSet,
        NeighborTree,
        Net,
        Number,
        Pairs,
        Preset,
        RandomGenerator,
        Reference,
        Sparse,
        TrainingHistory,
        Trusted,
    )
}

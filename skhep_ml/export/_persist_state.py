"""From a model to what skops can write without loss, and a check of what it would read."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from skhep_ml.export._persist_parts import (
    STAND_INS,
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
    booster_bytes,
    dimension_options,
    is_preset,
)
from skhep_ml.export._persist_types import (
    MAPPINGS,
    is_known_object,
    reference_home,
    type_name,
)

_PLAIN = (type(None), bool, int, float, str, slice, bytes)
# attributes that predictions do not need and that hold what cannot be saved
_LEFT_OUT = {
    "skhep_ml.model_selection._bayes.BayesSearchCV": ("optimizers_",),
    "sklearn.isotonic.IsotonicRegression": ("f_",),  # made anew from the thresholds
}
# requests for metadata, whose owner is the estimator that holds them; messages alone look at it
_REQUESTS = (
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)
_PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor"
_OF_OPTIMIZE_RESULT = ("fun", "func_vals", "x", "x_iters", "space")

# compiled losses of scikit-learn's linear models and boosting
_BOOSTING_LOSSES = (
    "CyExponentialLoss",
    "CyHalfBinomialLoss",
    "CyHalfMultinomialLoss",
    "CyHalfPoissonLoss",
    "CyHalfSquaredError",
)
_LINEAR_LOSSES = (
    "EpsilonInsensitive",
    "Hinge",
    "ModifiedHuber",
    "SquaredEpsilonInsensitive",
    "SquaredHinge",
)
_LOSSES = {
    *(f"_loss.{name}" for name in _BOOSTING_LOSSES),
    *(f"sklearn._loss._loss.{name}" for name in _BOOSTING_LOSSES),
    *(f"sklearn.linear_model._sgd_fast.{name}" for name in _LINEAR_LOSSES),
}

# What a node of skops may stand for, by the name of its loader; None asks `is_known_object`. The
# loaders of methods, partial functions, operators, bare functions and other protocols are missing.
_NODES: dict[str, set[str] | None] = {
    "BytesNode": {"builtins.bytes"},
    "ConstructorFromReduceNode": set(STAND_INS),
    "DTypeNode": {"numpy.dtype"},
    "DictNode": set(MAPPINGS),
    "JsonNode": {"builtins.str"},
    "ListNode": {"builtins.list"},
    "LossNode": _LOSSES,
    "MaskedArrayNode": {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"},
    "NdArrayNode": {"numpy.ndarray"},
    "ObjectNode": None,
    "RandomStateNode": {"numpy.random.mtrand.RandomState"},
    "SetNode": {"builtins.set"},
    "SliceNode": {"builtins.slice"},
    "TupleNode": None,
    "TypeNode": {"builtins.str"},
}


class StateWriter:
    """Copies a model for skops, special parts replaced by stand-ins.

    Parameters
    ----------
    trusted : mapping of str to class or function
        What the user vouches for, by full name.

    Attributes
    ----------
    members : dict of str to bytes
        Contents of the files beside the state: boosters and weights of nets.
    """

    def __init__(self, trusted: Mapping[str, Any]) -> None:
        self.trusted = trusted
        self.members: dict[str, bytes] = {}
        self._done: dict[int, Any] = {}
        self._doing: set[int] = set()
        self._alive: list[Any] = []  # or an id could be that of another object

    def copy(self, thing: Any, path: str) -> Any:
        """Copy of a thing that skops can write, the same for the same object.

        Raises
        ------
        TypeError
            It holds something that cannot be loaded again without running code from the file.
        """
        if type(thing) in _PLAIN:
            return thing
        if id(thing) in self._doing:
            msg = f"{path} holds itself, which cannot be saved"
            raise TypeError(msg)
        if id(thing) not in self._done:
            self._doing.add(id(thing))
            self._done[id(thing)] = self._copy(thing, path)
            self._alive.append(thing)
            self._doing.remove(id(thing))
        return self._done[id(thing)]

    def add(self, folder: str, suffix: str, content: bytes) -> str:
        """Put a file beside the state; its name."""
        number = sum(name.startswith(folder) for name in self.members)
        name = f"{folder}/{number}.{suffix}"
        self.members[name] = content
        return name

    def _copy(self, thing: Any, path: str) -> Any:
        kind = type(thing)
        if kind in (list, tuple, set):
            return kind(self._items(thing, path))
        if kind is frozenset:
            return FrozenSet.of(self._items(thing, path))
        if isinstance(thing, (np.ndarray, np.generic, np.dtype)):
            return self._copy_array(thing, path)
        if kind is np.random.Generator:
            return RandomGenerator.of(self.copy(thing.bit_generator.state, path))
        if kind is np.random.RandomState:
            return thing
        if type_name(kind) in MAPPINGS:
            return self._copy_mapping(thing, path)
        if isinstance(thing, (type, FunctionType, BuiltinFunctionType, MethodType, np.ufunc)):
            return self._refer(thing, path)
        for name, convert in _CONVERTED.items():
            if name in {type_name(base) for base in kind.__mro__}:
                return convert(self, thing, path)
        return self._copy_object(thing, path)

    def _items(self, things: Any, path: str) -> list[Any]:
        if _is_step(things):
            return [self.copy(item, path) for item in things]
        labels = [item[0] if _is_step(item) else k for k, item in enumerate(things)]
        return [
            self.copy(item, f"{path}[{label!r}]")
            for label, item in zip(labels, things, strict=True)
        ]

    def _copy_array(self, thing: Any, path: str) -> Any:
        if isinstance(thing, np.dtype):
            return thing
        if isinstance(thing, np.generic):
            if thing.dtype.kind in "biuf" and thing.dtype.itemsize <= 8:
                return Number.of(thing.dtype.name, thing.item())
            if thing.dtype.kind == "U":
                return Number.of("str", str(thing))
            msg = f"{path} is a number of type {thing.dtype}, which cannot be saved"
            raise TypeError(msg)
        if isinstance(thing, np.ma.MaskedArray):
            data = self._copy_array(thing.data, path)
            return np.ma.MaskedArray(data, np.array(thing.mask))
        array = np.asarray(thing)
        if array.dtype != object:
            if array.dtype.hasobject or array.dtype.kind == "T":
                msg = f"{path} is an array of type {array.dtype}, which cannot be saved"
                raise TypeError(msg)
            return array
        copied = np.empty(array.shape, dtype=object)
        for index in np.ndindex(array.shape):
            copied[index] = self.copy(array[index], f"{path}{list(index)}")
        return copied

    def _copy_mapping(self, thing: Any, path: str) -> Any:
        values = {key: self.copy(value, f"{path}[{key!r}]") for key, value in thing.items()}
        if all(type(key) is str for key in values):
            copied = type(thing)()
            copied.update(values)
            return copied
        items = [(self.copy(key, f"{path} (a key)"), value) for key, value in values.items()]
        return Pairs.of(items, type(thing) is OrderedDict)

    def _refer(self, thing: Any, path: str) -> Any:
        owner = getattr(thing, "__self__", None)
        if isinstance(thing, MethodType):
            home = reference_home(owner)
            if home is not None and isinstance(owner, type) and is_preset(owner, thing.__name__):
                return Preset.of(Reference.of(*home), thing.__name__)
        elif type_name(thing) in self.trusted:
            return Trusted.of(type_name(thing))
        else:
            home = reference_home(thing)
            if home is not None:
                return Reference.of(*home)
        kind = "class" if isinstance(thing, type) else "function"
        name = getattr(thing, "__name__", repr(thing))
        if name == "<lambda>":
            msg = f"{path} is a lambda, which cannot be saved: loading must not run code of a file"
        else:
            msg = (
                f"{path} is the {kind} {name}, which is not of this package: pass it to save and "
                f"to load, as trusted=[{name}]"
            )
        raise TypeError(msg)

    def _copy_object(self, thing: Any, path: str) -> Any:
        cls: Any = type(thing)
        name = type_name(cls)
        if name in _LOSSES:
            return thing
        if name not in self.trusted and not is_known_object(name):
            msg = (
                f"{path} is of the type {name}, which cannot be saved: take it out, or if it is "
                f"your own class, pass it to save and to load, as trusted=[{cls.__name__}]"
            )
            raise TypeError(msg)
        if isinstance(thing, tuple):
            return cls(*self._items(thing, path))
        copied = cls.__new__(cls)
        state = vars(thing)
        if name.startswith("skorch."):
            state = thing.get_params(deep=False)  # the rest is made when training begins
        elif name in _REQUESTS:
            owner = thing.owner if isinstance(thing.owner, str) else type(thing.owner).__name__
            state = {**state, "owner": owner}
        for attribute, value in state.items():
            if attribute not in _LEFT_OUT.get(name, ()):
                copied.__dict__[attribute] = self.copy(value, f"{path}.{attribute}")
        return copied

    def _copy_booster(self, thing: Any, path: str) -> Any:
        content, device, n_threads = booster_bytes(thing)
        return Boosted.of(self.add("boosters", "ubj", content), device, n_threads)

    def _copy_tree(self, thing: Any, path: str) -> Any:
        _, (n_features, n_classes, n_outputs), state = thing.__reduce__()
        return DecisionTree.of(n_features, n_classes.tolist(), n_outputs, state)

    def _copy_predictor(self, thing: Any, path: str) -> Any:
        return BoostedTree.of(
            thing.nodes, thing.binned_left_cat_bitsets, thing.raw_left_cat_bitsets
        )

    def _copy_sparse(self, thing: Any, path: str) -> Any:
        layout = thing if thing.format in ("csr", "csc") else thing.tocsr()
        parts = (layout.data, layout.indices, layout.indptr)
        return Sparse.of("array" in type(thing).__name__, layout.format, layout.shape, parts)

    def _copy_dimension(self, thing: Any, path: str) -> Any:
        return Dimension.of(type(thing).__name__, self.copy(dimension_options(thing), path))

    def _copy_distribution(self, thing: Any, path: str) -> Any:
        options = self.copy(dict(thing.kwds), path)
        return Distribution.of(thing.dist.name, self.copy(thing.args, path), options)

    def _copy_optimize_result(self, thing: Any, path: str) -> Any:
        kept = {name: thing[name] for name in _OF_OPTIMIZE_RESULT if name in thing}
        if "space" in kept:
            kept["space"] = list(kept["space"].dimensions)
        copied = self.copy(kept, path)
        return copied

    def _copy_history(self, thing: Any, path: str) -> Any:
        return TrainingHistory.of(self.copy(thing.to_list(), path))

    def _copy_frame(self, thing: Any, path: str) -> Any:
        if len(thing):
            msg = f"{path} is a DataFrame, which cannot be saved: keep an array"
            raise TypeError(msg)
        library = type(thing).__module__.partition(".")[0]
        columns = [(self.copy(name, path), _kind_of(thing[name])) for name in thing.columns]
        return EmptyFrame.of(library, columns)

    def _copy_neighbors(self, thing: Any, path: str) -> Any:
        _, _, _, _, leaf_size, *_, metric, weight = thing.__getstate__()
        name = type(metric).__name__.removesuffix("64").removesuffix("Distance").lower()
        if name not in NeighborTree.METRICS:
            msg = (
                f"{path} is a tree of neighbours with the metric {name}, which cannot be saved: "
                f"only {', '.join(NeighborTree.METRICS)} can"
            )
            raise TypeError(msg)
        points = np.array(thing.data)
        weight = None if weight is None else np.array(weight)
        return NeighborTree.of(type(thing).__name__, points, leaf_size, name, weight)

    def _copy_net(self, thing: Any, path: str) -> Any:
        from skhep_ml.export._persist_nets import describe_net

        described = describe_net(thing, path)
        kind, *dicts, slots, weights = described
        parts = [
            {name: self.copy(value, f"{path}.{name}") for name, value in values.items()}
            for values in dicts
        ]
        return Net.of(
            kind, *parts, self.copy(slots, path), self.add("nets", "safetensors", weights)
        )


def _kind_of(column: Any) -> str:
    """Type of NumPy in which a column of a DataFrame without rows is sampled."""
    stored = np.asarray(column).dtype
    if stored.kind in "biuf":
        return stored.name
    # a type of the library's own
    return "float32" if str(column.dtype).lower() == "float32" else "float64"


def _is_step(thing: Any) -> bool:
    """Whether a tuple is a name with an estimator, as a Pipeline has them."""
    named = isinstance(thing, tuple) and len(thing) > 1 and isinstance(thing[0], str)
    return named and hasattr(thing[1], "get_params")


_CONVERTED: dict[str, Callable[[StateWriter, Any, str], Any]] = {
    "pandas.DataFrame": StateWriter._copy_frame,
    "pandas.core.frame.DataFrame": StateWriter._copy_frame,
    "polars.dataframe.frame.DataFrame": StateWriter._copy_frame,
    "scipy.optimize._optimize.OptimizeResult": StateWriter._copy_optimize_result,
    "scipy.sparse._base._spbase": StateWriter._copy_sparse,
    "scipy.stats._distn_infrastructure.rv_frozen": StateWriter._copy_distribution,
    "skhep_ml.neural_network._net.EventNet": StateWriter._copy_net,
    "skorch.history.History": StateWriter._copy_history,
    "sklearn.neighbors._ball_tree.BallTree": StateWriter._copy_neighbors,
    "sklearn.neighbors._kd_tree.KDTree": StateWriter._copy_neighbors,
    f"{_PREDICTOR}.TreePredictor": StateWriter._copy_predictor,
    "sklearn.tree._tree.Tree": StateWriter._copy_tree,
    "skopt.space.space.Dimension": StateWriter._copy_dimension,
    "xgboost.core.Booster": StateWriter._copy_booster,
}


def check_schema(schema: Any, trusted: Mapping[str, Any]) -> list[str]:
    """Check every node of a skops schema against the list of what a model may consist of.

    Nothing is imported by a name from the file, and nothing is made.

    Parameters
    ----------
    schema : dict
        The parsed schema.
    trusted : mapping of str to class or function
        What the user vouches for, by full name.

    Returns
    -------
    list of str
        Names of all types in it, none of which needs to be refused.

    Raises
    ------
    ValueError
        A node that may not be there.
    """
    found = set()
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
            continue
        if not isinstance(node, dict):
            continue
        waiting += node.values()
        if "__loader__" not in node:
            continue
        loader, name = node["__loader__"], f"{node.get('__module__')}.{node.get('__class__')}"
        if not isinstance(loader, str) or loader not in _NODES:
            msg = f"it holds {name} as {loader!r}, which models may not hold"
            raise ValueError(msg)
        allowed = _NODES[loader]
        if allowed is None:
            plain = name == "builtins.tuple" and loader == "TupleNode"
            known = plain or name in trusted or is_known_object(name)
        else:
            known = name in allowed
        if not known:
            msg = f"it holds {name}, which models may not hold"
            if loader == "ObjectNode":
                msg += ": if it is a class of your own, pass it in trusted=[...]"
            raise ValueError(msg)
        found.add(name)
    return sorted(found)


def trusted_names(trusted: Any) -> dict[str, Any]:
    """Classes and functions of a user by full name.

    Raises
    ------
    TypeError
        Not a list of classes and functions.
    ValueError
        One that cannot be found again by its name.
    """
    if isinstance(trusted, (str, type, FunctionType)):
        msg = f"trusted must be a list of classes and functions, got {trusted!r}"
        raise TypeError(msg)
    named = {}
    for thing in trusted:
        if not isinstance(thing, (type, FunctionType, BuiltinFunctionType)):
            msg = f"trusted must hold classes and functions, not names or objects: got {thing!r}"
            raise TypeError(msg)
        module = sys.modules.get(thing.__module__ or "")
        if getattr(module, thing.__name__, None) is not thing:
            msg = (
                f"trusted holds {thing.__qualname__}, which is not found under its name in the "
                f"module {thing.__module__}: define it at the top of a file"
            )
            raise ValueError(msg)
        named[type_name(thing)] = thing
    return named

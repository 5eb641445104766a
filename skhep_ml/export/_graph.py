"""A graph under construction: nodes, constants, and models taken in as parts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhep_ml._extras import import_extra

ML_DOMAIN = "ai.onnx.ml"
# what CMSSW's and Athena's older releases of ONNX Runtime read
ML_OPSET = 2


class Tensor(NamedTuple):
    """A value in the graph.

    Attributes
    ----------
    name : str
        Its name there.
    kind : type
        numpy type of its elements; ``str`` for strings.
    tail : tuple of (int or None)
        Its shape after the axis of events; None where that is known only when it runs.
    """

    name: str
    kind: Any
    tail: tuple[int | None, ...]


class Graph:
    """Nodes and constants of a graph under construction.

    Parameters
    ----------
    opset : int
        Operator set of the standard domain.

    Attributes
    ----------
    sums_in_order : bool
        Whether margins of boosted trees shall be those of the engine to the last digit, at the
        price of a number for each tree and event.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._onnx = import_extra("onnx", "onnx")
        self._helper = import_extra("onnx.helper", "onnx")
        self._numpy_helper = import_extra("onnx.numpy_helper", "onnx")
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._inputs: list[Any] = []
        self._count = 0
        self.sums_in_order = False

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def input(self, name: str, kind: Any, tail: tuple[int | None, ...]) -> Tensor:
        """Declare an input of the whole graph."""
        tensor = Tensor(name, kind, tail)
        self._inputs.append(tensor)
        return tensor

    def constant(self, value: Any, kind: Any = None) -> str:
        """Add a constant; ``kind`` is its numpy type, ``str`` for strings."""
        array = np.asarray(value, dtype=object if kind is str else kind)
        name = self._name("constant")
        self._initializers.append(self._numpy_helper.from_array(array, name))
        return name

    def op(
        self,
        op_type: str,
        *inputs: str | NDArray[Any] | np.generic,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node with one output; arrays among the inputs become constants."""
        return self.ops(op_type, 1, *inputs, domain=domain, **attributes)[0]

    def ops(
        self,
        op_type: str,
        n_outputs: int,
        *inputs: str | NDArray[Any] | np.generic,
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Add a node with several outputs."""
        names = [part if isinstance(part, str) else self.constant(part) for part in inputs]
        outputs = [self._name(op_type.lower()) for _ in range(n_outputs)]
        self._nodes.append(
            self._helper.make_node(op_type, names, outputs, domain=domain, **attributes)
        )
        return outputs

    def cast(self, name: str, kind: Any) -> str:
        """Convert elements to a numpy type."""
        return self.op("Cast", name, to=self.element_type(kind))

    def as_kind(self, x: Tensor, kind: Any) -> Tensor:
        """Convert a tensor to a numpy type, if it is of another."""
        return x if x.kind is kind else Tensor(self.cast(x.name, kind), kind, x.tail)

    def columns(self, x: Tensor, index: Any) -> Tensor:
        """Take features, positions on the last axis."""
        index = np.asarray(index, dtype=np.int64)
        name = self.op("Gather", x.name, index, axis=len(x.tail))
        return Tensor(name, x.kind, (*x.tail[:-1], len(index)))

    def join(self, parts: list[Tensor]) -> Tensor:
        """Put features side by side, on the last axis."""
        if len(parts) == 1:
            return parts[0]
        widest = np.result_type(*(part.kind for part in parts)).type
        parts = [self.as_kind(part, widest) for part in parts]
        name = self.op("Concat", *(part.name for part in parts), axis=len(parts[0].tail))
        widths = [part.tail[-1] for part in parts]
        total = None if None in widths else sum(width for width in widths if width is not None)
        return Tensor(name, widest, (*parts[0].tail[:-1], total))

    def element_type(self, kind: Any) -> int:
        """Number by which ONNX knows a numpy type."""
        if kind is str:
            return int(self._onnx.TensorProto.STRING)
        return int(self._helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def absorb(self, model: Any, inputs: list[Tensor]) -> dict[str, Tensor]:
        """Take in a whole model, its inputs bound in order; return its outputs by name.

        Raises
        ------
        ValueError
            The model is of another operator set than this graph.
        """
        compose = import_extra("onnx.compose", "onnx")
        if len(model.functions):
            model = import_extra("onnx.inliner", "onnx").inline_local_functions(model)
        for imported in model.opset_import:
            limit = {"": self.opset, ML_DOMAIN: ML_OPSET}.get(imported.domain)
            if limit is not None and imported.version > limit:
                msg = (
                    f"a part of the model needs opset {imported.version} of "
                    f"{imported.domain or 'ai.onnx'}, but the export is for {limit}: pass opset="
                )
                raise ValueError(msg)
        prefix = self._name("part") + "/"
        part = compose.add_prefix(model, prefix).graph
        constants = {tensor.name for tensor in part.initializer}
        wanted = [value.name for value in part.input if value.name not in constants]
        for name, tensor in zip(wanted, inputs, strict=True):
            self._nodes.append(self._helper.make_node("Identity", [tensor.name], [name]))
        self._nodes.extend(part.node)
        self._initializers.extend(part.initializer)
        return {
            value.name.removeprefix(prefix): Tensor(
                value.name, self._kind_of(value), self._tail_of(value)
            )
            for value in part.output
        }

    def _kind_of(self, value: Any) -> Any:
        element = value.type.tensor_type.elem_type
        if element == self._onnx.TensorProto.STRING:
            return str
        return self._helper.tensor_dtype_to_np_dtype(element).type

    @staticmethod
    def _tail_of(value: Any) -> tuple[int | None, ...]:
        shape = value.type.tensor_type.shape.dim
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in shape)[1:]

    def model(self, outputs: dict[str, Tensor], metadata: dict[str, str], doc: str) -> Any:
        """Finish: a checked model with the given outputs."""
        from skhep_ml import __version__

        for name, tensor in outputs.items():
            self._nodes.append(self._helper.make_node("Identity", [tensor.name], [name]))
        named = [tensor._replace(name=name) for name, tensor in outputs.items()]
        graph = self._helper.make_graph(
            self._nodes,
            "skhep_ml",
            [self._info(tensor) for tensor in self._inputs],
            [self._info(tensor) for tensor in named],
            initializer=self._initializers,
        )
        imports = [self._helper.make_opsetid("", self.opset)]
        if any(node.domain == ML_DOMAIN for node in self._nodes):
            imports.append(self._helper.make_opsetid(ML_DOMAIN, ML_OPSET))
        model = self._helper.make_model(
            graph,
            opset_imports=imports,
            producer_name="skhep_ml",
            producer_version=__version__,
            doc_string=doc,
            ir_version=self._helper.find_min_ir_version_for(imports),
        )
        self._helper.set_model_props(model, metadata)
        import_extra("onnx.checker", "onnx").check_model(model)
        return model

    def _info(self, tensor: Tensor) -> Any:
        shape = ["n_events", *tensor.tail]
        return self._helper.make_tensor_value_info(
            tensor.name, self.element_type(tensor.kind), shape
        )

"""Network architectures, one a file; any other `torch.nn.Module` works as well."""

from skhep_ml.neural_network.modules._mlp import MLP

__all__ = ["MLP"]

"""Network architectures, one a file; any other `torch.nn.Module` works as well."""

from skhep_ml.neural_network.modules._cnn import CNN
from skhep_ml.neural_network.modules._deep_sets import DeepSets
from skhep_ml.neural_network.modules._densenet import DenseNet
from skhep_ml.neural_network.modules._interaction_network import InteractionNetwork
from skhep_ml.neural_network.modules._mlp import MLP
from skhep_ml.neural_network.modules._particle_net import ParticleNet
from skhep_ml.neural_network.modules._particle_transformer import ParticleTransformer
from skhep_ml.neural_network.modules._resnet import ResNet
from skhep_ml.neural_network.modules._rnn import RNN
from skhep_ml.neural_network.modules._tabm import TabM

__all__ = [
    "CNN",
    "MLP",
    "RNN",
    "DeepSets",
    "DenseNet",
    "InteractionNetwork",
    "ParticleNet",
    "ParticleTransformer",
    "ResNet",
    "TabM",
]

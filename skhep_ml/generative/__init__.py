"""Generative models: densities, surrogates of simulation, samples under given conditions."""

from skhep_ml.generative._autoencoder import Autoencoder
from skhep_ml.generative._diffusion import Diffusion
from skhep_ml.generative._flow_matching import FlowMatching
from skhep_ml.generative._flows import NormalizingFlow
from skhep_ml.generative._gan import GAN
from skhep_ml.generative._pipeline import sample_pipeline
from skhep_ml.generative._resampler import NeuralResampler
from skhep_ml.generative._unweight import GenerativeUnweighter
from skhep_ml.generative._vae import VAE

__all__ = [
    "GAN",
    "VAE",
    "Autoencoder",
    "Diffusion",
    "FlowMatching",
    "GenerativeUnweighter",
    "NeuralResampler",
    "NormalizingFlow",
    "sample_pipeline",
]

"""Clustering under event weights."""

from skhep_ml.cluster._kmeans import KMeans

__all__ = ["KMeans"]

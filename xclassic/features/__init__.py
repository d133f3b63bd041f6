"""Transformers of features, to be put in front of an estimator."""

from xclassic.features.autoencoder import Autoencoder

__all__ = ["Autoencoder"]

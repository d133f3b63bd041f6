"""The classes that a model folder may hold, by kind; no others are ever constructed from one.

A class is found by its public name. ``xclassic/__init__.pyi`` and ``xclassic/features/__init__.py`` say where it is
imported from.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

ESTIMATORS = (
    "RandomOrder",
    "Popularity",
    "NearestCentroid",
    "DiSMEC",
    "OneVsRestLeastSquares",
    "PPDSparse",
    "PDSparse",
    "ProXML",
    "M3L",
    "Slice",
    "Parabel",
    "Bonsai",
    "PLT",
    "XRLinear",
    "XReg",
    "HierarchicalXC",
    "PrefixTree",
    "FastXML",
    "PfastreXML",
    "SwiftXML",
    "MLRF",
    "CRAFTML",
    "KNN",
    "SLEEC",
    "AnnexML",
    "PLST",
    "CPLST",
    "Rembrandt",
    "LEML",
    "REML",
    "CompressedSensing",
    "BloomFilter",
    "LTLS",
    "MACH",
    "LabelAugmentation",
    "TreeEmbedding",
)
NEURAL_ESTIMATORS = ("NeuralXC", "DeepXML")  # Estimators that take features, as those above, and need PyTorch.
TEXT_ESTIMATORS = (
    "LabelMatcher",
    "T5Classifier",
    "XMLCNN",
)  # Estimators that take texts, since they bring their own features.
COMPOSITES = (
    "Blend",
    "AutoXMC",
    "Calibrated",
    "ThresholdedClassifier",
)  # Estimators that are made of others, some of which cannot be constructed without them.
RECORD_MODELS = ("FieldsClassifier",)  # Models that predict records and have no label space of their own.
TRANSFORMERS = (
    "TextFeatures",
    "BertEncoder",
    "FourierFeatures",
    "Autoencoder",
    "FeatureAgglomeration",
    "WordVectors",
)  # The classes of xclassic.features.


def known_names() -> list[str]:
    """Return the names of all classes."""
    return [*ESTIMATORS, *NEURAL_ESTIMATORS, *TEXT_ESTIMATORS, *COMPOSITES, *RECORD_MODELS, *TRANSFORMERS]


def find_class(name: str) -> Any:
    """Return the class of a name, or None if a model folder may not hold it."""
    if name not in known_names():
        return None
    return getattr(import_module("xclassic.features" if name in TRANSFORMERS else "xclassic"), name)

"""Extreme multi-label classification with compiled kernels and a scikit-learn interface.

Public names are imported when they are first used, so that ``import xclassic`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xclassic._version import __version__

if TYPE_CHECKING:  # for editors and type checkers, which cannot see through __getattr__
    from xclassic import datasets as datasets
    from xclassic import features as features
    from xclassic import instance_tree as instance_tree
    from xclassic import label_tree as label_tree
    from xclassic import metrics as metrics
    from xclassic._versions import show_versions as show_versions
    from xclassic.base import XMCClassifier as XMCClassifier
    from xclassic.base import predict_topk as predict_topk
    from xclassic.blend import Blend as Blend
    from xclassic.blend import blend_topk as blend_topk
    from xclassic.embedding.annexml import AnnexML as AnnexML
    from xclassic.embedding.compressed_sensing import CompressedSensing as CompressedSensing
    from xclassic.embedding.cplst import CPLST as CPLST
    from xclassic.embedding.knn import KNN as KNN
    from xclassic.embedding.leml import LEML as LEML
    from xclassic.embedding.plst import PLST as PLST
    from xclassic.embedding.rembrandt import Rembrandt as Rembrandt
    from xclassic.embedding.reml import REML as REML
    from xclassic.embedding.sleec import SLEEC as SLEEC
    from xclassic.explanation import Explanation as Explanation
    from xclassic.explanation import explain as explain
    from xclassic.fields import FieldsClassifier as FieldsClassifier
    from xclassic.fields import fields_report as fields_report
    from xclassic.fields import format_fields as format_fields
    from xclassic.fields import parse_fields as parse_fields
    from xclassic.hierarchy import LabelHierarchy as LabelHierarchy
    from xclassic.html_report import write_report as write_report
    from xclassic.instance_tree.craftml import CRAFTML as CRAFTML
    from xclassic.instance_tree.fastxml import FastXML as FastXML
    from xclassic.instance_tree.mlrf import MLRF as MLRF
    from xclassic.instance_tree.pfastrexml import PfastreXML as PfastreXML
    from xclassic.instance_tree.reranking import TailReranker as TailReranker
    from xclassic.instance_tree.tree import InstanceTree as InstanceTree
    from xclassic.label_tree.bonsai import Bonsai as Bonsai
    from xclassic.label_tree.hierarchical import HierarchicalXC as HierarchicalXC
    from xclassic.label_tree.parabel import Parabel as Parabel
    from xclassic.label_tree.plt import PLT as PLT
    from xclassic.label_tree.prefix_tree import PrefixTree as PrefixTree
    from xclassic.label_tree.tree import LabelTree as LabelTree
    from xclassic.label_tree.xr_linear import XRLinear as XRLinear
    from xclassic.label_tree.xreg import XReg as XReg
    from xclassic.linear.dismec import DiSMEC as DiSMEC
    from xclassic.linear.least_squares import OneVsRestLeastSquares as OneVsRestLeastSquares
    from xclassic.neural.t5 import T5Classifier as T5Classifier
    from xclassic.storage.folder import ModelFileError as ModelFileError
    from xclassic.storage.models import load as load
    from xclassic.storage.models import save as save
    from xclassic.topk import TopK as TopK
    from xclassic.validation import encode_labels as encode_labels

# Estimators by module; what these tables name are the only classes of ours that a saved model may hold.
ESTIMATORS = {
    "DiSMEC": "xclassic.linear.dismec",
    "OneVsRestLeastSquares": "xclassic.linear.least_squares",
    "Parabel": "xclassic.label_tree.parabel",
    "Bonsai": "xclassic.label_tree.bonsai",
    "PLT": "xclassic.label_tree.plt",
    "XRLinear": "xclassic.label_tree.xr_linear",
    "XReg": "xclassic.label_tree.xreg",
    "HierarchicalXC": "xclassic.label_tree.hierarchical",
    "PrefixTree": "xclassic.label_tree.prefix_tree",
    "FastXML": "xclassic.instance_tree.fastxml",
    "PfastreXML": "xclassic.instance_tree.pfastrexml",
    "MLRF": "xclassic.instance_tree.mlrf",
    "CRAFTML": "xclassic.instance_tree.craftml",
    "KNN": "xclassic.embedding.knn",
    "SLEEC": "xclassic.embedding.sleec",
    "AnnexML": "xclassic.embedding.annexml",
    "PLST": "xclassic.embedding.plst",
    "CPLST": "xclassic.embedding.cplst",
    "Rembrandt": "xclassic.embedding.rembrandt",
    "LEML": "xclassic.embedding.leml",
    "REML": "xclassic.embedding.reml",
    "CompressedSensing": "xclassic.embedding.compressed_sensing",
}

# Estimators of texts, which bring their own features.
TEXT_ESTIMATORS = {
    "T5Classifier": "xclassic.neural.t5",
}

# Estimators made of others, without which they cannot be constructed.
COMPOSITES = {
    "Blend": "xclassic.blend",
}

# Models that predict records, which have no label space of their own.
RECORD_MODELS = {
    "FieldsClassifier": "xclassic.fields",
}

# Transformers that a saved model may hold, beside the pipelines and unions of scikit-learn.
TRANSFORMERS = {
    "TextFeatures": "xclassic.features.text",
    "BertEncoder": "xclassic.features.bert",
    "FourierFeatures": "xclassic.features.fourier",
    "Autoencoder": "xclassic.features.autoencoder",
}

_NAMES = {
    **ESTIMATORS,
    **TEXT_ESTIMATORS,
    **COMPOSITES,
    **RECORD_MODELS,
    "Explanation": "xclassic.explanation",
    "InstanceTree": "xclassic.instance_tree.tree",
    "LabelHierarchy": "xclassic.hierarchy",
    "LabelTree": "xclassic.label_tree.tree",
    "ModelFileError": "xclassic.storage.folder",
    "TailReranker": "xclassic.instance_tree.reranking",
    "TopK": "xclassic.topk",
    "XMCClassifier": "xclassic.base",
    "blend_topk": "xclassic.blend",
    "encode_labels": "xclassic.validation",
    "explain": "xclassic.explanation",
    "fields_report": "xclassic.fields",
    "format_fields": "xclassic.fields",
    "load": "xclassic.storage.models",
    "parse_fields": "xclassic.fields",
    "predict_topk": "xclassic.base",
    "save": "xclassic.storage.models",
    "show_versions": "xclassic._versions",
    "write_report": "xclassic.html_report",
}
_MODULES = ("datasets", "features", "instance_tree", "label_tree", "metrics")

__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

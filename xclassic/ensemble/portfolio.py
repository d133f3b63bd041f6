"""The methods that an automatic choice begins with."""

from __future__ import annotations

from typing import Any

from xclassic.instance_tree.craftml import CRAFTML
from xclassic.instance_tree.fastxml import FastXML
from xclassic.label_tree.bonsai import Bonsai
from xclassic.label_tree.plt import PLT
from xclassic.linear.dismec import DiSMEC
from xclassic.linear.least_squares import OneVsRestLeastSquares
from xclassic.neighbors.annexml import AnnexML
from xclassic.neighbors.knn import KNN


def first_members() -> list[tuple[str, Any]]:
    """Return one method of each family with its defaults, those first that take the least time or lead most often.

    A blend gains by methods that err on different rows, so that families count more here than methods.
    """
    return [
        ("neighbors", KNN()),
        ("tree", Bonsai()),
        ("squares", OneVsRestLeastSquares()),
        ("hinge", DiSMEC()),
        ("logistic_tree", PLT()),
        ("forest", FastXML()),
        ("clusters", CRAFTML()),
        ("local", AnnexML()),
    ]

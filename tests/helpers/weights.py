"""Which methods take which weights."""

ONE_VS_REST = ("DiSMEC", "PPDSparse", "Slice")
TREES = ("Parabel", "Bonsai", "PLT", "XRLinear", "XReg", "HierarchicalXC", "PrefixTree")
RANKING_FORESTS = ("FastXML", "PfastreXML")
TAKEN_BY = {
    "sample_weight": (
        *ONE_VS_REST,
        "OneVsRestLeastSquares",
        "NearestCentroid",
        *TREES,
        *RANKING_FORESTS,
        "MLRF",
        "CRAFTML",
        "KNN",
        "SLEEC",
        "AnnexML",
    ),
    "label_weight": (*ONE_VS_REST, "OneVsRestLeastSquares", *TREES, *RANKING_FORESTS),
    "relevance": (*ONE_VS_REST, "NearestCentroid", *TREES),
}


def weights_of(name, given):
    """Return those of some weights that a method takes."""
    return {weight: value for weight, value in given.items() if name in TAKEN_BY[weight]}

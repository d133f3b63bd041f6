"""Models to the last bit."""


def bits(clf):
    """Return all that a fitted estimator would store."""
    arrays, metadata = clf._get_arrays()
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}, metadata

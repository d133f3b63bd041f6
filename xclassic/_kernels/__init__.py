"""Compiled loops: arrays in, arrays out. They know no estimator, no option string and no Python object."""

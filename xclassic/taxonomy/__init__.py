"""Label spaces with structure: hierarchies of labels, and records of several fields that fit together."""

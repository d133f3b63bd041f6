"""Label spaces with structure: hierarchies of labels, and records of several consistent fields."""

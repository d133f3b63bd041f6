"""Labels as short codes of bits, paths or buckets, learned by linear models."""

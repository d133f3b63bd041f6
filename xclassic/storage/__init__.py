"""A model is a folder: what may be in it, how it is written and read, and how its arrays are named and checked."""

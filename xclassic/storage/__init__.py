"""Model folders: what they may hold, how they are written and read, and how arrays are named and checked."""

"""Rankings that every model should beat."""

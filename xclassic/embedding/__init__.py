"""Methods that compare rows: by their features, or by short vectors that stand for their labels."""

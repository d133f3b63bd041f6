"""One-vs-rest linear models, trained and stored as blocks of labels."""

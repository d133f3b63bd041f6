"""Linear algebra that several families share: ridge regression, eigenvectors, and some entries of a product."""

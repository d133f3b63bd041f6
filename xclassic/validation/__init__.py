"""The only place that looks at user input: features, labels, label restrictions, hyper-parameters, texts and records.

Everything behind this package may rely on what it promises: features are finite float32, either canonical CSR or a
C-contiguous array; label matrices are canonical float32 CSR that stores nothing but ones.
"""

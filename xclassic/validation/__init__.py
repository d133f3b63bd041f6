"""The only place that looks at user input: features, labels, label restrictions, hyper-parameters, texts and records.

All other code may rely on its promises: features are finite float32, either canonical CSR or a C-contiguous array;
label matrices are canonical float32 CSR that stores nothing but ones.
"""

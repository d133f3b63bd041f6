"""Methods on PyTorch, from the extra ``xclassic[neural]``."""

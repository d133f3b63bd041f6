"""Files of word vectors, written plainly from the descriptions of their formats."""

import struct

import numpy as np


def as_text(words, vectors, *, header=True):
    lines = [f"{len(vectors)} {len(vectors[0])}"] if header else []
    lines += [
        " ".join([word, *(repr(float(value)) for value in row)]) for word, row in zip(words, vectors, strict=True)
    ]
    return "\n".join(lines).encode() + b"\n"


def as_word2vec(words, vectors):
    parts = [f"{len(vectors)} {len(vectors[0])}\n".encode()]
    for word, row in zip(words, vectors, strict=True):
        parts.append(word.encode() + b" " + np.asarray(row, "<f4").tobytes() + b"\n")
    return b"".join(parts)


def as_fasttext(words, rows, *, n_buckets, shortest=3, longest=6, labels=(), quantized=False, version=12):
    """Write a model of fastText; `rows` are the vectors of the words, then those of the buckets."""
    rows = np.asarray(rows, "<f4")
    settings = [rows.shape[1], 5, 5, 1, 5, 1, 2, 2, n_buckets, shortest, longest, 100]
    parts = [struct.pack("<ii12id", 793712314, version, *settings, 1e-4)]
    parts.append(struct.pack("<iiiqq", len(words) + len(labels), len(words), len(labels), 1000, -1))
    entries = [(word, 0) for word in words] + [(label, 1) for label in labels]
    parts += [name.encode() + b"\0" + struct.pack("<qb", 7, kind) for name, kind in entries]
    parts += [struct.pack("<?qq", quantized, *rows.shape), rows.tobytes(), b"\0the output matrix is not read"]
    return b"".join(parts)

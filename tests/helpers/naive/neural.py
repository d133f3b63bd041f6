"""The obvious versions of what `xclassic.neural` computes: one label, one row, one token at a time."""

import numpy as np
import torch


def continuations(sequences, prefix):
    """Return the tokens that follow a prefix in any of the sequences."""
    n = len(prefix)
    return sorted({s[n] for s in sequences if len(s) > n and tuple(s[:n]) == tuple(prefix)})


@torch.no_grad()
def log_probability(model, tokens, sequences, label):
    """Return log p(label | text): the sum over its tokens of the log-softmax among those that could stand there."""
    sequence = sequences[label]
    written = torch.tensor([[model.config.decoder_start_token_id, *sequence[:-1]]], device=model.device)
    read = torch.tensor([tokens], device=model.device)
    logits = model(input_ids=read, decoder_input_ids=written).logits[0].double()
    total = 0.0
    for step, token in enumerate(sequence):
        possible = continuations(sequences, sequence[:step])
        total += float(logits[step, possible].log_softmax(0)[possible.index(token)])
    return total


def log_probabilities(model, rows, sequences):
    """Return the logarithms of all labels' probabilities, shape (n_rows, n_labels)."""
    return np.array([[log_probability(model, row, sequences, j) for j in range(len(sequences))] for row in rows])


def beam_search(model, tokens, sequences, beam, k, allowed=None):
    """Return the best labels and their scores by a beam search with lists, without ending early.

    Paths are compared after as many choices: tokens that alone can follow are written at once.
    """
    allowed = range(len(sequences)) if allowed is None else allowed

    def certain(prefix):
        following = continuations(sequences, prefix)
        return certain((*prefix, *following)) if len(following) == 1 else prefix

    beams = [(certain(()), 0.0)]
    read = torch.tensor([tokens], device=model.device)
    for _ in range(max(map(len, sequences))):
        extended = []
        for prefix, score in beams:
            if tuple(prefix) in set(map(tuple, sequences)):
                extended.append((prefix, score))
                continue
            written = torch.tensor([[model.config.decoder_start_token_id, *prefix]], device=model.device)
            with torch.no_grad():
                logits = model(input_ids=read, decoder_input_ids=written).logits[0, -1].double()
            possible = continuations(sequences, prefix)
            scores = logits[possible].log_softmax(0)
            live = set(continuations([sequences[j] for j in allowed], prefix))
            extended += [
                (certain((*prefix, token)), score + float(s))
                for token, s in zip(possible, scores, strict=True)
                if token in live
            ]
        beams = sorted(extended, key=lambda pair: -pair[1])[:beam]
    label_of = {tuple(s): j for j, s in enumerate(sequences)}
    predictions = sorted(((label_of[prefix], score) for prefix, score in beams), key=lambda pair: (-pair[1], pair[0]))
    return predictions[:k]


def chunk_maxima(maps, lengths, n_chunks):
    """Return the maxima of each map in each chunk of the places of its text, shape (n_texts, n_filters, n_chunks)."""
    maxima = np.empty((*maps.shape[:2], n_chunks))
    for i, length in enumerate(lengths):
        for f in range(maps.shape[1]):
            for c in range(n_chunks):
                first, end = c * length // n_chunks, int(np.ceil((c + 1) * length / n_chunks))
                maxima[i, f, c] = max(float(maps[i, f, place]) for place in range(first, end))
    return maxima


def text_cnn(body, tokens):
    """Return what a `TextCNN` makes of one text: a window, a filter and a word at a time."""
    tokens = tokens or [0]
    vectors = body.words.weight[tokens].numpy()
    pooled = []
    for convolution in body.convolutions:
        weight, bias = convolution.weight.numpy(), convolution.bias.numpy()
        window = weight.shape[2]
        maps = np.zeros((1, len(bias), len(tokens)))
        for place in range(len(tokens)):
            for offset in range(window):
                word = place - window // 2 + offset
                if 0 <= word < len(tokens):
                    maps[0, :, place] += weight[:, :, offset] @ vectors[word]
            maps[0, :, place] += bias
        pooled.append(chunk_maxima(maps, [len(tokens)], body.n_chunks).ravel())
    hidden = np.maximum(np.concatenate(pooled), 0)
    return np.maximum(body.bottleneck.weight.numpy() @ hidden + body.bottleneck.bias.numpy(), 0)

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

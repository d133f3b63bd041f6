"""The obvious slow version of codes of labels and their decoding. Imports no kernel."""

from math import exp, prod


def sigmoid(x):
    return 1 / (1 + exp(-x)) if x > -700 else 0.0


def row_bits(labels, codes):
    """The bits of a label set: those of any of its labels."""
    return {bit for label in labels for bit in codes[label]}


def plain_filter(on, codes):
    """The labels that a Bloom filter returns: all whose bits are on."""
    return {label for label, code in enumerate(codes) if set(code) <= on}


def block_probabilities(z, codes, blocks):
    """Probability of each label: of its least certain bit, times its share of the odds of its block."""
    odds = [sum(z[bit] for bit in code) for code in codes]
    probabilities = []
    for label, code in enumerate(codes):
        rivals = [label] if blocks[label] < 0 else [l for l in range(len(codes)) if blocks[l] == blocks[label]]
        share = 1 / sum(exp(min(odds[rival] - odds[label], 700)) for rival in rivals)
        probabilities.append(share * sigmoid(min(z[bit] for bit in code)))
    return probabilities


def group_probabilities(z, codes, groups):
    """Probability of each label: of its group, over all sets of labels of one group, times its own within the group."""
    odds = [sum(z[bit] for bit in code) for code in codes]
    members = {group: [l for l in range(len(codes)) if groups[l] == group] for group in set(groups)}
    weight = {group: prod(1 + exp(odds[label]) for label in labels) for group, labels in members.items() if group >= 0}
    total = sum(weight.values())
    return [
        sigmoid(z[codes[label][0]]) if group < 0 else weight[group] / total * sigmoid(odds[label])
        for label, group in enumerate(groups)
    ]


def collisions(rows, groups, blocks):
    """Share of rows with labels of several groups, and share of labels that share a block with another of the row."""
    spanning = sum(len({groups[l] for l in row if groups[l] >= 0}) > 1 for row in rows)
    colliding = sum(
        blocks[label] >= 0 and any(other != label and blocks[other] == blocks[label] for other in row)
        for row in rows
        for label in row
    )
    return spanning / len(rows), colliding / sum(len(row) for row in rows)

"""Names of labels in texts, the obvious way."""

from itertools import combinations_with_replacement

import numpy as np

PREFERRED, OTHER, BARE = range(3)


def entries(names, words_of):
    """Return (label, role, words) of every name, of one label each words once."""
    found = []
    for label, of_label in enumerate(names):
        bare = [name.rpartition("(")[0] for name in of_label if name.rstrip().endswith(")")]
        roles = [PREFERRED, *[OTHER] * (len(of_label) - 1), *[BARE] * len(bare)]
        for role, name in zip(roles, [*of_label, *bare], strict=True):
            words = words_of(name)
            if words and not any(label == other and words == same for other, _, same in found):
                found.append((label, role, words))
    return found


def places(stems, form, window):
    """Return (start, span, is_set) of all places where the stems of a name follow each other, else the narrowest."""
    n, wanted = len(form), set(form)
    in_order = [(start, n, False) for start in range(len(stems) - n + 1) if stems[start : start + n] == form]
    if in_order or len(wanted) == 1:
        return in_order
    stretches = [
        (last - start + 1, start)
        for start, last in combinations_with_replacement(range(len(stems)), 2)
        if wanted <= set(stems[start : last + 1])
    ]
    if stretches and min(stretches)[0] <= window:
        span, start = min(stretches)
        return [(start, span, True)]
    return []


def matches(names, texts, words_of, stem, window):
    """Return for each (row, label) a dict of what is known of the match, but for the rarity of words."""
    known = entries(names, words_of)
    result = {}
    for row, text in enumerate(texts):
        words = words_of(text)
        stems = [stem(word) for word in words]
        found = []
        for entry in known:
            form = [stem(word) for word in entry[2]]
            found += [(*entry, form, *place) for place in places(stems, form, window)]
        sequences = {(start, start + span) for *_, start, span, is_set in found if not is_set}
        for label in sorted({place[0] for place in found}):
            own = [place for place in found if place[0] == label]
            _, role, of_name, form, start, span, is_set = min(
                own, key=lambda p: (words[p[4] : p[4] + p[5]] != p[2] or p[6], p[6], -len(p[3]), p[1], p[4])
            )
            result[row, label] = {
                "name": " ".join(of_name),
                "start": start,
                "exact words": not is_set and words[start : start + span] == of_name,
                "words in any order": is_set,
                "gap": np.log(span / len(of_name)),
                "other name": role == OTHER,
                "without qualifier": role == BARE,
                "place": np.log1p(min(p[4] for p in own)),
                "words of the text": np.log1p(len(words)),
                "occurrences": np.log(len({p[4] for p in own})),
                "words of the name": np.log(len(of_name)),
                "characters of the name": np.log(len(" ".join(of_name))),
                "labels of the name": np.log(len({e[0] for e in known if [stem(word) for word in e[2]] == form})),
                "within a longer name": all(
                    not p[6] and any(a <= p[4] and p[4] + p[5] <= b and b - a > p[5] for a, b in sequences) for p in own
                ),
                "labels found": np.log(len({p[0] for p in found})),
            }
    return result

"""Token sequences of labels, drawn by hypothesis."""

from hypothesis import strategies as st

END_TOKEN = 1


@st.composite
def label_sequences(draw, most=12):
    """Sequences of few tokens that share beginnings, each with an end."""
    words = st.lists(st.integers(2, 5), min_size=1, max_size=5).map(tuple)
    return [[*s, END_TOKEN] for s in draw(st.lists(words, min_size=1, max_size=most, unique=True))]

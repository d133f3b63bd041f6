"""The HTML report: its numbers, its safety, its edge cases, and the command that writes it."""

import os
import re
import shlex
import sys
import tracemalloc
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.calibration import calibration_curve
from typer.testing import CliRunner

import xclassic
from xclassic import DiSMEC, PrefixTree, TopK, datasets, metrics
from xclassic.cli import commands
from xclassic.cli.models import TrainedModel
from xclassic.cli.report_command import report
from xclassic.html_report import report as report_module
from xclassic.html_report import write_report
from xclassic.html_report.analysis import by_frequency, by_score, confusions, read_case, sample_rows
from xclassic.html_report.page import UNPRINTABLE, safe
from xclassic.html_report.sections import score_format

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
VOID = {"meta", "br", "hr", "img", "input", "link"}
HOSTILE = [
    "<script>alert(1)</script>",
    "\"quoted\" & 'single' > </td></table>",
    "line\nbreak\ttab \x00\x07\x1b[31m\x9b",
    "\u202eright to left\u202c \u200f\u05d0\u05d1\u2067x",
    "n" * 10_000,
    "lone \ud800 surrogate",
    "",
    "]]><!-- -->",
]


class Page(HTMLParser):
    """What a browser would make of a page; tags must balance and ids be unique."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.attributes, self.tags = [], [], Counter()
        self.tables, self.headings, self.items = {}, [], []
        self.cell = self.caption = None
        self.feed(text)
        self.close()
        assert not self.open
        ids = [value for _, name, value in self.attributes if name == "id"]
        assert len(ids) == len(set(ids))
        assert all(
            value[1:] in ids
            for _, name, value in self.attributes
            if name in ("href", "aria-labelledby") and value.startswith("#")
        )

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th", "caption", "h1", "h2", "h3", "li"):
            self.cell = []
        if tag == "tr":
            self.row = []

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        text = "".join(self.cell or [])
        if tag in ("td", "th"):
            self.row.append(text)
        elif tag == "tr":
            self.tables[self.caption].append(self.row)
        elif tag == "caption":
            self.caption = text
            self.tables[text] = []
        elif tag in ("h1", "h2", "h3"):
            self.headings.append((tag, text))
        elif tag == "li":
            self.items.append(text)

    def handle_data(self, data):
        if self.cell is not None:
            self.cell.append(data)


def read(path):
    return Page(Path(path).read_bytes().decode())


def predictions(rows, k=None, scores=None):
    """Return a ranking of lists of label ids."""
    top = TopK.empty(len(rows), k or max(map(len, rows)))
    for i, row in enumerate(rows):
        top.ids[i, : len(row)] = row
        top.scores[i, : len(row)] = -np.arange(len(row)) if scores is None else scores[i]
        top.counts[i] = len(row)
    return top


def truth(rows, n_labels):
    """Return a label matrix of sets of label ids."""
    rows = [sorted(row) for row in rows]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.array([label for row in rows for label in row], np.int32)
    return csr_array((np.ones(indices.size, np.float32), indices, indptr), shape=(len(rows), n_labels))


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


@pytest.fixture(scope="module")
def fitted(bibtex):
    return DiSMEC(max_passes=5).fit(bibtex.X, bibtex.Y)


@pytest.fixture(scope="module")
def case(bibtex, fitted):
    """Return the arguments of a report on bibtex."""
    return {
        "Y_true": bibtex.Y_test,
        "top": fitted.predict_topk(bibtex.X_test, 5),
        "label_names": bibtex.label_names,
        "train_counts": bibtex.Y.sum(axis=0),
        "n_train": bibtex.Y.shape[0],
    }


@pytest.fixture
def page(tmp_path):
    """Return a function that writes a report and reads it back, checked for what holds of every report."""

    def write(**arguments):
        write_report(tmp_path / "page.html", **arguments)
        parsed = read(tmp_path / "page.html")
        assert not parsed.tags["script"]
        assert not any(name.startswith("on") for _, name, _ in parsed.attributes)
        links = [value for _, name, value in parsed.attributes if name.split(":")[-1] in ("href", "src", "xlink")]
        assert all(link.startswith("#") for link in links)
        assert "url(http" not in (tmp_path / "page.html").read_text("utf-8")
        return parsed

    return write


SMALL = {
    "Y_true": truth([{0, 1}, {1}, {2}, set()], 3),
    "top": predictions([[0, 1], [2, 0], [1], []]),
    "label_names": ["apple", "pear", "plum"],
    "ks": (1, 2),
}


# Numbers


def test_report_metrics_are_those_of_evaluate(page, case):
    counts = case["train_counts"]
    expected = metrics.evaluate(
        case["Y_true"],
        case["top"],
        propensities=metrics.propensity(counts, case["n_train"], preset="amazon"),
        train_counts=counts,
    )
    table = page(**case, preset="amazon").tables["Metrics at depth k, in percent"]
    assert table[0] == ["Metric", "@1", "@3", "@5"]
    found, group = {}, ""
    for row in table[1:]:
        if len(row) == 1:
            group = row[0].split(":")[0].lower().replace("all labels", "")
        else:
            found |= {f"{group} {row[0]}@{k}".strip(): cell for k, cell in zip((1, 3, 5), row[1:], strict=True)}
    assert found == {name: f"{100 * value:.2f}" for name, value in expected.items()}


def test_report_shows_baselines_first(page, case):
    truth, counts = case["Y_true"], np.asarray(case["train_counts"])
    popular = TopK.from_dense(np.tile(counts.astype(np.float32), (truth.shape[0], 1)), 5)
    shown = page(**case).tables
    table = shown["P beside baselines, in percent"]
    assert next(iter(shown)) == "P beside baselines, in percent"
    assert table[1] == ["Random order", *[f"{100 * truth.nnz / truth.shape[0] / truth.shape[1]:.2f}"] * 3]
    for ranking, top in zip(table[2:], (popular, case["top"]), strict=True):
        assert ranking[1:] == [f"{100 * metrics.precision_at_k(truth, top, k):.2f}" for k in (1, 3, 5)]


def test_report_metrics_without_training_counts(page):
    shown = page(**SMALL)
    table = shown.tables["Metrics at depth k, in percent"]
    assert [len(row) for row in table] == [3] * 6
    assert not any("PSP" in row[0] for row in table)
    assert "Label frequency" not in [name for _, name in shown.headings]


def test_group_bounds_are_those_of_label_groups(page):
    counts = [101, 100, 25]
    groups = metrics.label_groups(counts)
    assert [groups[name].tolist() for name in ("head", "torso", "tail")] == [[0], [1], [2]]
    table = page(**SMALL, train_counts=counts).tables["Metrics at depth k, in percent"]
    assert [row[0] for row in table if len(row) == 1] == [
        "All labels",
        "Head: 101 training rows or more (1 of 3 labels, 1 of 4 true ones)",
        "Torso: 26 to 100 (1 of 3 labels, 2 of 4 true ones)",
        "Tail: 25 or fewer (1 of 3 labels, 1 of 4 true ones)",
    ]


def test_group_without_true_labels_is_named(page, tmp_path):
    page(**SMALL, train_counts=[200, 150, 120])
    assert "No label of the torso and tail is true in any row." in (tmp_path / "page.html").read_text("utf-8")


def test_frequency_bins_by_hand():
    judged = read_case(truth([{0, 1}, {2}, {3}], 5), predictions([[0, 2], [2, 3], [4]]), 2)
    bins = by_frequency(judged, np.array([0, 3, 4, 17, 1999.0]))
    assert [column.tolist() for column in bins] == [
        [0, 2, 10, 1000],
        [0, 4, 19, 1999],
        [1, 2, 1, 1],
        [1, 2, 1, 0],
        [1, 2, 1, 1],
        [1, 1, 0, 0],
    ]
    np.testing.assert_array_equal(bins.precision, [1, 0.5, 0, 0])
    np.testing.assert_array_equal(bins.recall, [1, 0.5, 0, np.nan])


@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=3))
def test_frequency_bins_hold_every_label(counts):
    judged = read_case(SMALL["Y_true"], SMALL["top"], 2)
    bins = by_frequency(judged, np.array(counts, np.float64))
    inside = [((bins.fewest <= count) & (count <= bins.most)).sum() for count in counts]
    assert inside == [1, 1, 1]
    assert bins.labels.sum() == 3
    assert (bins.true.sum(), bins.predicted.sum(), bins.right.sum()) == (4, 5, 2)


def test_frequency_table_holds_the_bins(page, case):
    rows = page(**case).tables["Label frequency: shares in percent, and counts"]
    bins = by_frequency(read_case(case["Y_true"], case["top"], 5), np.asarray(case["train_counts"], np.float64))
    assert len(rows) == 1 + bins.labels.size
    last = [f"{100 * bins.precision[-1]:.2f}", f"{100 * bins.recall[-1]:.2f}"]
    counts = [f"{column[-1]:,}" for column in (bins.right, bins.predicted, bins.true, bins.labels)]
    assert rows[-1] == [f"500{DASH}999", *last, *counts]


def test_calibration_by_hand():
    scores = [[0.9, 0.9, 0.2], [0.6, 0.2]]
    judged = read_case(truth([{0, 2}, {0}], 3), predictions([[0, 1, 2], [0, 1]], scores=scores), 3)
    bins = by_score(judged, n_bins=2)
    np.testing.assert_allclose(bins.lowest, [0.2, 0.6], rtol=1e-6)
    np.testing.assert_allclose(bins.highest, [0.2, 0.9], rtol=1e-6)
    np.testing.assert_allclose(bins.mean, [0.2, 0.8], rtol=1e-6)
    np.testing.assert_allclose(bins.share, [1 / 2, 2 / 3])
    assert bins.size.tolist() == [2, 3]
    assert bins.calibration_error == pytest.approx((2 * 0.3 + 3 * (0.8 - 2 / 3)) / 5)


@given(st.integers(0, 2**32), st.integers(1, 30))
@settings(max_examples=25)
def test_calibration_is_that_of_scikit_learn(seed, tenth):
    random = np.random.default_rng(seed)
    scores = random.permutation(np.linspace(0.001, 0.999, 10 * tenth)).astype(np.float32)
    right = random.random(scores.size) < scores
    judged = read_case(right[:, None].astype(int), TopK.from_dense(scores[:, None], 1), 1)
    share, mean = calibration_curve(right, scores, n_bins=10, strategy="quantile")
    bins = by_score(judged)
    np.testing.assert_allclose(bins.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(bins.share, share)
    assert bins.size.tolist() == [tenth] * 10


@given(st.lists(st.sampled_from([0.1, 0.2, 0.5, -np.inf, np.inf]), min_size=1, max_size=40))
def test_calibration_puts_equal_scores_into_one_bin(scores):
    top = predictions([[0]] * len(scores), scores=[[score] for score in scores])
    bins = by_score(read_case(np.ones((len(scores), 1)), top, 1))
    finite = np.array([score for score in scores if np.isfinite(score)], np.float32)
    assert bins.size.sum() == finite.size
    assert (bins.size > 0).all()
    assert (bins.lowest[1:] > bins.highest[:-1]).all()
    for score in finite:
        assert ((bins.lowest <= score) & (score <= bins.highest)).sum() == 1


def test_calibration_tells_probabilities_from_scores(page, case, tmp_path):
    page(**case)
    plain = (tmp_path / "page.html").read_text("utf-8")
    assert "not probabilities" in plain
    assert "calibration error" not in plain
    top = case["top"]
    squashed = top._replace(scores=np.where(top.filled(), 1 / (1 + np.exp(-top.scores)), -np.inf))
    bins = by_score(read_case(case["Y_true"], squashed, 5))
    rows = page(**case | {"top": squashed}, probabilities=True).tables["Predictions by score"]
    assert f"<b>{100 * bins.calibration_error:.2f}</b>" in (tmp_path / "page.html").read_text("utf-8")
    assert [row[1] for row in rows[1:]] == [f"{size:,}" for size in bins.size]
    assert [row[3] for row in rows[1:]] == [f"{100 * share:.2f}" for share in bins.share]


@st.composite
def ranked_cases(draw):
    n_labels = draw(st.integers(1, 6))
    labels = st.integers(0, n_labels - 1)
    rows = draw(st.lists(st.tuples(st.sets(labels), st.lists(labels, unique=True)), min_size=1, max_size=12))
    return n_labels, [row[0] for row in rows], [row[1] for row in rows]


@given(ranked_cases(), st.integers(1, 30))
def test_confusions_agree_with_a_loop(drawn, limit):
    n_labels, true, ranked = drawn
    pairs = Counter(
        (label, row[0])
        for labels, row in zip(true, ranked, strict=True)
        if row and row[0] not in labels
        for label in labels
        if label not in row
    )
    expected = sorted(((*pair, count) for pair, count in pairs.items()), key=lambda one: (-one[2], one))[:limit]
    found = confusions(read_case(truth(true, n_labels), predictions(ranked, n_labels), n_labels), limit)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


def test_confusions_are_shown_by_name(page):
    true = truth([{0}, {0}, {0, 1}, {1}], 3)
    rows = page(Y_true=true, top=predictions([[2], [2], [0], [2]]), label_names=["a", "b", "c"], ks=[1])
    assert rows.tables["Most confused labels"][1:] == [["a", "c", "2", "66.67"], ["b", "c", "1", "50.00"]]


@given(ranked_cases(), st.integers(1, 10), st.integers(0, 5))
def test_sample_rows_has_right_and_wrong_rows(drawn, count, seed):
    n_labels, true, ranked = drawn
    judged = read_case(truth(true, n_labels), predictions(ranked, n_labels), n_labels)
    chosen = sample_rows(judged, count, seed)
    right = judged.hits[:, 0]
    n_right, n_wrong = int(right.sum()), int((~right & (judged.sizes > 0)).sum())
    assert (np.diff(chosen) > 0).all()
    assert chosen.size == min(count, n_right + n_wrong)
    assert (judged.sizes[chosen] > 0).all()
    assert right[chosen].sum() >= min(n_right, (count + 1) // 2)
    assert (~right[chosen]).sum() >= min(n_wrong, count // 2)


def test_samples_show_labels_predictions_and_text(page):
    shown = page(**SMALL, texts=["one", {"title": "two", "price": 3}, "three", "four"], row_names=["r0", "r1", "r2", 3])
    assert [text for tag, text in shown.headings if tag == "h3"] == [
        "Row r0: first prediction right",
        "Row r1: first prediction wrong",
        "Row r2: first prediction wrong",
    ]
    assert [item for item in shown.items if ":" in item] == [
        *("✓found:apple", "✓found:pear", "✓right:apple0.000", f"✓right:pear{MINUS}1.000"),
        *("✗missed:pearmissed", "✗wrong:plum0.000", f"✗wrong:apple{MINUS}1.000"),
        *("✗missed:plummissed", "✗wrong:pear0.000"),
    ]


def test_samples_can_be_omitted_and_drawn_anew(page, case, tmp_path):
    assert "Sample predictions" not in [text for _, text in page(**case, samples=0).headings]
    rows = [[text for tag, text in page(**case, samples=6, seed=seed).headings if tag == "h3"] for seed in (0, 0, 1)]
    assert len(rows[0]) == 6
    assert rows[0] == rows[1] != rows[2]


def test_samples_cut_many_true_labels(page):
    shown = page(Y_true=np.ones((1, 50)), top=predictions([[3]]), label_names=range(50), ks=[1])
    assert "and 30 more" in shown.items


def test_prefix_credit_by_depth(page, bibtex):
    clf = PrefixTree(branching=4, max_passes=3).fit(bibtex.X, bibtex.Y)
    codes, top = clf.trees_[0].codes(), clf.predict_topk(bibtex.X_test, 3)
    rows = page(
        Y_true=bibtex.Y_test, top=top, label_names=bibtex.label_names, codes=codes, ks=(1, 3), probabilities=True
    ).tables["Prefix credit by depth, in percent"]
    assert len(rows) == 1 + codes.shape[1]
    whole = [f"{100 * metrics.prefix_credit(bibtex.Y_test, top, codes, k=k):.2f}" for k in (1, 3)]
    assert rows[-1] == [str(codes.shape[1]), *whole]
    main = codes[:, 0]
    near = [(main[bibtex.Y_test[[i]].indices] == main[top.ids[i, 0]]).any() for i in range(top.n_rows)]
    assert rows[1][:2] == ["1", f"{100 * np.mean(near):.2f}"]


def test_prefix_credit_thins_deep_codes(page):
    codes = np.arange(3)[:, None] == np.arange(60)
    rows = page(**SMALL, codes=codes.astype(int)).tables["Prefix credit by depth, in percent"]
    assert len(rows) == 11
    assert (rows[1][0], rows[-1][0]) == ("1", "60")


@pytest.mark.parametrize(
    ("scores", "value", "shown"),
    [
        ([0.9, -np.inf], 0.12345, "0.123"),
        ([-12.5], -3.456, f"{MINUS}3.5"),
        ([4000], 12.3, "12"),
        ([1e-12], 1e-12, f"1.00e{MINUS}12"),
        ([1e9], 1e9, "1.00e+09"),
        ([0, -np.inf], -np.inf, f"{MINUS}∞"),
        ([], np.inf, "∞"),
    ],
)
def test_score_format_is_one_for_all_scores(scores, value, shown):
    assert score_format(np.array(scores, np.float32))(value) == shown


# The page


def test_page_is_accessible(page, case):
    shown = page(**case, title="A title")
    assert shown.headings[0] == ("h1", "A title")
    assert shown.tags["h1"] == 1
    assert shown.tags["table"] == shown.tags["caption"] == len(shown.tables)
    assert all(dict(attributes).get("scope") for attributes in scopes(shown))
    figures_shown = [value for tag, name, value in shown.attributes if tag == "svg" and name == "aria-label"]
    assert len(figures_shown) == shown.tags["svg"] == shown.tags["figcaption"] == 2
    assert all(figures_shown)
    assert ("html", "lang", "en") in shown.attributes


def scopes(shown):
    cells = [(name, value) for tag, name, value in shown.attributes if tag == "th" and name == "scope"]
    assert len(cells) == shown.tags["th"]
    return [[cell] for cell in cells]


@pytest.mark.parametrize("media", ["light", "dark"])
def test_page_colors_have_contrast(page, tmp_path, media):
    page(**SMALL)
    blocks = re.findall(r":root \{(.*?)\}", (tmp_path / "page.html").read_text("utf-8"), re.DOTALL)
    colors = dict(re.findall(r"--(\w+): #(\w+);", blocks[media == "dark"]))
    for name in ("ink", "muted", "first", "second", "right", "wrong"):
        for ground in ("paper", "panel"):
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)


def contrast(one, other):
    """As WCAG defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color):
    digits = color if len(color) == 6 else "".join(2 * digit for digit in color)
    parts = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def test_page_bytes_follow_from_the_input(case, tmp_path):
    for name in ("one.html", "two.html"):
        write_report(tmp_path / name, **case)
        # A user's settings of matplotlib do not reach the page.
        mpl.rcParams.update({"lines.linewidth": 9, "font.size": 30, "svg.fonttype": "path"})
    mpl.rcdefaults()
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


@pytest.mark.parametrize("where", ["label_names", "row_names", "texts", "title", "facts"])
def test_page_escapes_hostile_text(page, tmp_path, where):
    n = len(HOSTILE)
    true, top = truth([{i} for i in range(n)], n), predictions([[(i + 1) % n] for i in range(n)])
    arguments = {"Y_true": true, "top": top, "label_names": [f"name {i}" for i in range(n)], "ks": [1]}
    clean = page(**arguments, texts=["text"] * n, facts={"a": "b"})
    hostile = {"title": "".join(HOSTILE), "facts": {name: name for name in HOSTILE}}.get(where, HOSTILE)
    shown = page(**{**arguments, "texts": ["text"] * n, "facts": {"a": "b"}, where: hostile})
    added = shown.tags - clean.tags
    assert added.keys() <= {"dt", "dd", "bdi", "i"}
    text = (tmp_path / "page.html").read_text("utf-8")
    assert not UNPRINTABLE.search(text.replace("\n", ""))
    assert "<script" not in text
    assert "n" * 401 not in text
    if where != "title":
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_page_cuts_long_names():
    assert safe("n" * 81, 80) == "n" * 79 + "…"
    assert safe("n" * 80, 80) == "n" * 80
    assert safe("&" * 4, 3) == "&amp;&amp;…"
    assert safe(" a \n\t b\u2028c ", 80) == "a b c"


def test_write_report_that_fails_leaves_the_old_page(case, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(path, **SMALL)
    monkeypatch.setattr(report_module, "document", lambda *arguments: "\ud800")
    with pytest.raises(UnicodeEncodeError):
        write_report(path, **SMALL)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_write_report_replaces_a_page_behind_a_link(tmp_path):
    (tmp_path / "real.html").write_text("old")
    (tmp_path / "link.html").symlink_to("real.html")
    write_report(tmp_path / "link.html", **SMALL)
    assert (tmp_path / "link.html").is_symlink()
    assert read(tmp_path / "real.html").headings[0] == ("h1", "Model report")


# Edge cases


def test_report_on_rows_without_labels(page, tmp_path):
    shown = page(
        Y_true=truth([set()] * 3, 2),
        top=predictions([[0], [1], [0]]),
        label_names=["a", "b"],
        train_counts=[5, 0],
        ks=[1],
    )
    assert shown.tables["Metrics at depth k, in percent"][1] == ["P", "0.00"]
    assert "There is no row with labels to show." in (tmp_path / "page.html").read_text("utf-8")
    assert shown.tables["Label frequency: shares in percent, and counts"][1][1:3] == ["0.00", DASH]


@pytest.mark.parametrize("true", [0, 1])
@pytest.mark.parametrize("score", [0.5, 0.0, -np.inf, np.inf, np.nan])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_report_on_one_row_and_one_label(page, true, score, count):
    shown = page(
        Y_true=[[true]],
        top=predictions([[0]], scores=[[score]]),
        label_names=["only"],
        train_counts=[count],
        n_train=20,
    )
    assert shown.tables["Metrics at depth k, in percent"][0] == ["Metric", "@1", "@3", "@5"]
    assert ("Predictions by score" in shown.tables) == bool(np.isfinite(score))


@pytest.mark.parametrize("probabilities", [False, True])
def test_report_on_empty_rankings(page, probabilities, tmp_path):
    shown = page(
        Y_true=truth([{0}, {1}], 2),
        top=TopK.empty(2, 2),
        label_names=["a", "b"],
        train_counts=[3, 3],
        codes=[[0], [1]],
        probabilities=probabilities,
    )
    assert [text for tag, text in shown.headings if tag == "h3"] == ["Row 0: no prediction", "Row 1: no prediction"]
    assert "no prediction with a finite score" in (tmp_path / "page.html").read_text("utf-8")
    assert shown.tables["Label frequency: shares in percent, and counts"][1][1:3] == [DASH, "0.00"]


def test_calibration_omits_infinite_scores(page, tmp_path):
    top = predictions([[0, 1], [1, 0]], scores=[[1.5, -np.inf], [np.inf, 0.5]])
    rows = page(Y_true=np.eye(2), top=top, label_names=["a", "b"], ks=[2]).tables["Predictions by score"]
    assert sum(int(row[1]) for row in rows[1:]) == 2
    assert "Predictions without a finite score are left out: 2." in (tmp_path / "page.html").read_text("utf-8")


def test_report_counts_labels_unknown_to_the_model(page):
    shown = page(
        Y_true=truth([{0, 3}, {2}], 4),
        top=predictions([[1], [1]]),
        label_names=["a", "b"],
        train_counts=[4, 0],
        n_train=9,
        codes=[[0], [1]],
        ks=[1],
    )
    confused = shown.tables["Most confused labels"]
    assert [row[0] for row in confused[1:]] == ["a", "label 2, unknown to the model", "label 3, unknown to the model"]
    bins = shown.tables["Label frequency: shares in percent, and counts"]
    assert [row[0] for row in bins[1:]] == ["0", f"2{DASH}4"]
    assert bins[1][-1] == "3"


def test_report_keeps_a_million_labels_sparse(page):
    n_labels = 1_000_000
    labels = np.random.default_rng(0).choice(n_labels, (200, 4), replace=False)
    true, top = truth(labels[:, :3].tolist(), n_labels), predictions(labels[:, [3, 1, 2]].tolist())
    counts = np.arange(n_labels) % 1000
    tracemalloc.start()
    shown = page(Y_true=true, top=top, label_names=range(n_labels), train_counts=counts, n_train=2 * n_labels, ks=[3])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # a dense mask of rows and labels takes 200 MB
    assert len(shown.tables["Most confused labels"]) == 21
    assert shown.tables["Metrics at depth k, in percent"][2] == ["P", "66.67"]


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"label_names": list("abcd")}, ValueError, "label_names has 4 entries but Y_true has 3 columns"),
        ({"train_counts": [1] * 4}, ValueError, "train_counts has 4 entries but Y_true has 3 columns"),
        ({"train_counts": [1, -1, 0]}, ValueError, "The count of label 1 is -1"),
        ({"train_counts": [9, 1, 0], "n_train": 5}, ValueError, "Label 0 has 9 training points but n_samples is 5"),
        ({"codes": [1, 2, 3]}, ValueError, r"codes has shape \(3,\)"),
        ({"codes": [[1]] * 4}, ValueError, "codes has 4 entries"),
        ({"texts": ["one"]}, ValueError, "texts has 1 entries but Y_true has 4 rows"),
        ({"row_names": ["one"]}, ValueError, "row_names has 1 entries but Y_true has 4 rows"),
        ({"probabilities": True}, ValueError, r"A score is -1; probabilities lie in \[0, 1\]"),
        ({"ks": []}, ValueError, "ks is empty"),
        ({"ks": [3]}, ValueError, "k is 3 but the ranking holds 2"),
        ({"samples": -1}, ValueError, "samples"),
        ({"Y_true": np.zeros((0, 3))}, ValueError, "a metric needs a row"),
        ({"train_counts": [9, 1, 0], "n_train": 10, "preset": "other"}, ValueError, "preset"),
    ],
)
def test_report_errors_come_before_the_page(tmp_path, changed, error, message):
    with pytest.raises(error, match=message):
        write_report(tmp_path / "page.html", **SMALL | changed)
    assert not os.listdir(tmp_path)


def test_write_report_names_missing_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'xclassic\[report\]'"):
        write_report(tmp_path / "page.html", **SMALL)


# The command


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command by itself, as an app of one command."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(context_settings=commands.commands.info.context_settings)
    app.command()(report)

    def run_command(line, code=0):
        done = CliRunner().invoke(app, shlex.split(line), env={"COLUMNS": "200", "TERM": "dumb"})
        assert done.exit_code == code, done.output
        return done

    return run_command


@pytest.fixture(scope="module")
def model(tmp_path_factory, bibtex, fitted):
    path = str(tmp_path_factory.mktemp("models") / "bibtex.model")
    counts = np.asarray(bibtex.Y.sum(axis=0)).astype(np.int64)
    training = {"data": "bibtex", "n_rows": bibtex.Y.shape[0], "seconds": 1.0}
    TrainedModel(fitted, label_counts=counts, label_names=bibtex.label_names, training=training).save(path)
    return path


def test_command_and_python_agree(run, model, case, tmp_path):
    run(f"{model} bibtex -o page.html --title Same --seed 3 --samples 4")
    shown = read("page.html")
    write_report("other.html", **case, title="Same", seed=3, samples=4)
    assert shown.tables == read("other.html").tables
    assert shown.items == read("other.html").items
    text = Path("page.html").read_text("utf-8")
    for fact in ("DiSMEC (", "max_passes=5", "<bdi>4,880</bdi>"):
        assert fact in text
    assert "n_jobs" not in text
    first = Path("page.html").read_bytes()
    run(f"{model} bibtex -o page.html --title Same --seed 3 --samples 4 --force --n-jobs 1")
    assert Path("page.html").read_bytes() == first


def test_command_rejects_replacing_a_file(run, model):
    Path("page.html").write_text("mine")
    Path("folder").mkdir()
    assert "--force" in run(f"{model} bibtex -o page.html", 2).output
    assert Path("page.html").read_text() == "mine"
    run(f"{model} bibtex -o page.html --force -k 1 --samples 0")
    assert read("page.html").headings[0] == ("h1", "DiSMEC on bibtex")
    assert "there is no folder" in run(f"{model} bibtex -o no/page.html", 2).output
    for output in ("-", "folder"):
        assert "which is not a file" in run(f"{model} bibtex -o {output}", 2).output
    assert "accepted are numbers" in run(f"{model} bibtex -o other.html -k none", 2).output
    assert "preset" in run(f"{model} bibtex -o other.html --preset other", 2).output


def test_command_takes_the_options_of_evaluate(run, bibtex, fitted):
    fitted.save("plain")
    datasets.write_xmc("test.txt", bibtex.X_test[:40], bibtex.Y_test[:40])
    run("plain test.txt -o plain.html")
    assert "Label frequency" not in [text for _, text in read("plain.html").headings]
    run("plain test.txt -o counted.html --train bibtex --label-ids -k 2")
    shown = read("counted.html")
    assert "Label frequency" in [text for _, text in shown.headings]
    assert [row[0] for row in shown.tables["Metrics at depth k, in percent"]][-1] == "PSnDCG"
    assert shown.tables["Most confused labels"][1][0].isdigit()


def test_command_shows_texts_codes_and_unknown_labels(run):
    books = [("b1", "moons of Jupiter", "sky"), ("b2", "bread and butter", "food"), ("b3", "Saturn, moons", "sky")]
    lines = [f'{{"key": "{key}", "title": "{title}", "labels": ["{label}"]}}' for key, title, label in books]
    Path("train.jsonl").write_text("\n".join(lines))
    Path("test.jsonl").write_text(
        "\n".join([*lines, '{"key": "b4", "title": "<b>stars</b>", "labels": ["new", "sky"]}'])
    )
    with pytest.raises(SystemExit):
        xclassic.cli.app(shlex.split("train PLT train.jsonl --text-field title -m books"))
    run("books test.jsonl -o books.html --text-field title --id-field key -k 1,3")
    shown = read("books.html")
    text = Path("books.html").read_text("utf-8")
    assert "Row b4" in " ".join(name for _, name in shown.headings)
    assert "&lt;b&gt;stars&lt;/b&gt;" in text
    assert "label 2, unknown to the model" in text
    assert "expected calibration error" in text
    assert "Prefix credit" in [name for _, name in shown.headings]

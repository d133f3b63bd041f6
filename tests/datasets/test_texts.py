"""Labeled texts from JSON lines, CSV and TSV."""

import csv
import gzip
import json
import lzma

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xclassic import encode_labels
from xclassic.datasets import DataFileError, products_file, read_records, read_texts, split_weights
from xclassic.datasets.texts import read_ids


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_jsonl(file):
    path = file(
        "a.jsonl",
        '{"text": "one", "labels": ["x", "y"]}\n\n{"labels": [], "text": "two\\nlines", "id": 3}\r\n'
        '{"text": "", "labels": "u, v"}\n{"text": "\u00e4", "labels": 7}\n{"text": "e", "labels": ""}',
    )
    assert read_texts(path) == (["one", "two\nlines", "", "ä", "e"], [["x", "y"], [], ["u", "v"], [7], []])
    assert read_texts(path, labels=None) == (["one", "two\nlines", "", "ä", "e"], None)


def test_fields_and_delimiter(file):
    path = file("a.ndjson", '{"title": "T", "body": "B", "tags": "a,1|b"}\n')
    assert read_texts(path, text=["title", "body"], labels="tags", label_delimiter="|") == (["T B"], [["a,1", "b"]])
    assert read_texts(path, text="body", labels="tags", label_delimiter=None) == (["B"], [["a,1|b"]])


@pytest.mark.parametrize(
    ("name", "compress"), [("a.csv", bytes), ("a.csv.gz", gzip.compress), ("a.csv.xz", lzma.compress)]
)
def test_csv(file, name, compress):
    text = '\ufefftext,labels\r\n"say ""hi"", \u00e4\r\nthere","a, b"\r\n\r\nplain,\r\n'
    assert read_texts(file(name, compress(text.encode()))) == (['say "hi", ä\r\nthere', "plain"], [["a", "b"], []])


def test_tsv_takes_quotes_as_they_are(file):
    path = file("a.tsv", 'labels\ttext\nx,y\t" ... a quote\nz\tsay "hi"\n')
    assert read_texts(path) == (['" ... a quote', 'say "hi"'], [["x", "y"], ["z"]])


def test_long_cells(file):
    path = file("a.csv", "text,labels\n" + "word " * 100_000 + ",a\n")
    texts, _ = read_texts(path)
    assert len(texts[0]) == 500_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            '{"text": "a", "labels": []}\n{"text": "a"\n',
            "a.jsonl, line 2: expected a JSON object in each line, found",
        ),
        ("a.jsonl", "[1, 2]\n", r"line 1: expected a JSON object in each line, found \[1, 2\]"),
        ("a.jsonl", "[" * 100_000, "line 1: expected a JSON object in each line"),
        ("a.jsonl", '{"txt": "a", "labels": []}\n', "line 1: there is no field 'text'; found are 'txt', 'labels'"),
        ("a.jsonl", '{"text": "a"}\n', "line 1: there is no field 'labels'; found are 'text'"),
        ("a.jsonl", '{"text": 5, "labels": []}\n', "line 1: field 'text' must be a string, found 5"),
        ("a.jsonl", '{"text": "a", "labels": [null]}\n', "labels must be strings or integers, found"),
        ("a.jsonl", '{"text": "a", "labels": [], "n": ' + "9" * 5000 + "}", "line 1: expected a JSON object.*digits"),
        (
            "a.json",
            '[\n{"text": "a", "labels": []}\n]',
            "line 1: expected a JSON object.* Write a list of objects as one",
        ),
        ("a.jsonl", '{"text": "a", "labels": [1.5]}\n', "labels must be strings or integers, found"),
        ("a.jsonl", '{"text": "a", "labels": [true]}\n', "labels must be strings or integers, found"),
        ("a.jsonl", '{"text": "a", "labels": {"x": 1}}\n', "labels must be strings or integers, found"),
        ("a.jsonl", b'{"text": "a", "labels": []}\n{"text": "\xff"}\n', "line 2: byte 0xff is not UTF-8"),
        ("a.csv", "text,labels\na,b\nc\n", "line 3: expected 2 cells as in the first line, found 1"),
        ("a.csv", "text,labels\na,b,c\n", "line 2: expected 2 cells as in the first line, found 3"),
        ("a.csv", 'text,labels\n"a\nb",c\n"d"e,f\n', "line 4: the row is not well-formed"),
        ("a.csv", 'text,labels\na,b\n"open,c\n', "line 3: the row is not well-formed"),
        ("a.csv", "text,text\na,b\n", "line 1: two columns have the same name"),
        ("a.csv", "title,tags\na,b\n", "line 2: there is no field 'text'; found are 'title', 'tags'"),
        ("a.csv", 'text,labels\n"a\nb",c\nd,"[1.5]"\n', "line 4: labels must be strings"),
        ("a.tsv", "text\tlabels\na\n", "line 2: expected 2 cells"),
    ],
)
def test_read_texts_rejects_malformed_files(file, name, content, message):
    with pytest.raises(DataFileError, match=message):
        read_texts(file(name, content))


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['Tea', 'Drinks']", ["Tea", "Drinks"]),
        ("('Tea', \"Jack's\")", ["Tea", "Jack's"]),
        ("('Tea',)", ["Tea"]),
        ("{'Tea'}", ["Tea"]),
        ("frozenset({'Tea'})", ["Tea"]),
        ('["Tea", "a \\u00e4, b"]', ["Tea", "a ä, b"]),
        ("[28, -3]", [28, -3]),
        ("[' Tea ', '']", ["Tea"]),
        ("[]", []),
        ("()", []),
        ("set()", []),
        ("nan", []),
        ("NaN", []),
        (" a ,, b, ", ["a", "b"]),
        ("(unknown), {other}", ["(unknown)", "{other}"]),
        ("Nan bread", ["Nan bread"]),
    ],
)
def test_lists_in_cells(file, cell, labels):
    quoted = cell.replace('"', '""')
    assert read_texts(file("a.csv", f'text,labels\nx,"{quoted}"\n'))[1] == [labels]
    assert read_texts(file("a.jsonl", json.dumps({"text": "x", "labels": cell})))[1] == [labels]
    whole = [cell.strip()]
    assert read_texts(file("a.jsonl", json.dumps({"text": "x", "labels": cell})), label_delimiter=None)[1] == [whole]


@pytest.mark.parametrize(
    "cell",
    [
        "['Tea' 'Drinks']",
        "['Tea'\n 'Drinks']",
        "[1 2]",
        "[np.str_('Tea')]",
        "array(['Tea'], dtype=object)",
        "['Tea', nan]",
        "{'Tea': 1}",
        '{"Tea": 1}',
        "[open('x')]",
        "[f'{1}']",
        "[sic]",
        "[" * 5000 + "]",
    ],
)
def test_cells_that_only_look_like_lists_are_rejected(file, cell):
    with pytest.raises(
        DataFileError, match=r"a.jsonl, line 1: the labels .* look like a list.*Write a JSON array, or join"
    ):
        read_texts(file("a.jsonl", json.dumps({"text": "x", "labels": cell})))


def test_missing_texts_and_labels_are_empty(file):
    lines = ['{"text": null, "labels": null}', '{"text": "", "labels": ""}', '{"text": "a", "labels": ["", " b"]}']
    assert read_texts(file("a.jsonl", "\n".join(lines))) == (["", "", "a"], [[], [], ["b"]])


@pytest.mark.parametrize("name", ["a", "a.txt", "A.JSONL", "a.json", "a.JSON.GZ", "a.2024"])
def test_formats_by_suffix_or_content(file, name):
    rows = (["x"], [["y"]])
    assert read_texts(file(name, '\n{"text": "x", "labels": "y"}\n')) == rows
    assert read_records(file(name, '{"text": "x"}\n'), format="jsonl") == [{"text": "x"}]
    if "js" not in name.lower():
        assert read_texts(file(name, "text,labels\nx,y\n")) == rows
        assert read_texts(file(name, 'text\tlabels\nx"\ty\n')) == (['x"'], [["y"]])
        with pytest.raises(DataFileError, match="the file is empty; expected JSON lines, CSV or TSV"):
            read_texts(file(name, "\n"))
    assert read_texts(file(name, "text,labels\nx,y\n"), format="csv") == rows
    assert read_texts(file("B.CSV", "text,labels\nx,y\n")) == rows
    with pytest.raises(ValueError, match="there is no format 'xml' of texts; accepted are jsonl, csv, tsv"):
        read_texts(file(name, ""), format="xml")


def test_ids(file):
    lines = [json.dumps({"id": value}) for value in (" 007 ", 7, 10**400, 1.5, None, "")]
    assert read_ids(file("a.jsonl", "\n".join(lines)), "id") == [" 007 ", 7, 10**400, 1.5, "", ""]
    for value in (True, ["a"], {}, float("nan"), float("inf")):
        with pytest.raises(DataFileError, match="line 1: field 'id' must be a string or a number, found"):
            read_ids(file("a.jsonl", json.dumps({"id": value})), "id")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
LABELS = st.lists(st.text("abc ;äß\"'", min_size=1).filter(lambda label: label == label.strip()))
ROWS = st.lists(st.tuples(TEXTS, LABELS), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_round_trip(tmp_path, rows):
    texts, labels = [text for text, _ in rows], [labels for _, labels in rows]
    with open(tmp_path / "a.jsonl", "w", encoding="utf-8", newline="") as stream:
        stream.writelines(json.dumps({"text": text, "labels": labels}) + "\n" for text, labels in rows)
    assert read_texts(tmp_path / "a.jsonl") == (texts, labels)
    with open(tmp_path / "a.csv", "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerow(["text", "labels"])
        writer.writerows((text, ",".join(labels)) for text, labels in rows)
    assert read_texts(tmp_path / "a.csv") == (texts, labels)


def test_records_are_whole_lines(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"title": "tea", "price": 2}\n\n{"title": null}\n')
    assert read_records(tmp_path / "a.jsonl") == [{"title": "tea", "price": 2}, {"title": None}]
    (tmp_path / "a.csv").write_text("title,price\ntea,\n")
    assert read_records(tmp_path / "a.csv") == [{"title": "tea", "price": ""}]


def test_products_come_with_the_package():
    products = read_records(products_file())
    assert len(products) == 293
    assert set(products[0]) == {"title", "price", "brand", "category", "sub_category", "type"}
    assert len({(row["category"], row["sub_category"], row["type"]) for row in products}) == 26


def test_weights_of_labels_are_split_off():
    names, relevance = split_weights([["a::0.5", "std::vector", " b :: 2 "], [], ["C::2::1", "a", "b::1e-3"], ["::3"]])
    assert names == [["a", "std::vector", "b"], [], ["C::2", "a", "b"], ["::3"]]
    Y, classes = encode_labels(names)
    assert classes.tolist() == ["::3", "C::2", "a", "b", "std::vector"]
    assert (relevance.indices.tolist(), relevance.indptr.tolist()) == (Y.indices.tolist(), Y.indptr.tolist())
    assert relevance.toarray().tolist() == [
        [0, 0, 0.5, 2, 1], [0] * 5, [0, 1, 1, pytest.approx(1e-3), 0], [1, 0, 0, 0, 0]
    ]  # fmt: skip
    names, relevance = split_weights([[3, 1], [3, 3]])
    assert names == [[3, 1], [3]]
    assert relevance.toarray().tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("label", ["a::nan", "a::", "a::1x", "a:: ", "a:2", "a::inf", "a::one", "::2"])
def test_names_with_colons_stay_names(label):
    names, relevance = split_weights([[label]])
    assert names == [[label.strip()]]
    assert relevance.toarray().tolist() == [[1]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a::0"], "Row 1 has the label 'a' with the weight 0; weights are between"),
        (["a::-2.5"], "Row 1 has the label 'a' with the weight -2.5"),
        (["a::1e30"], "weight 1e30"),
        (["a::2", "a::3"], "Row 1 has the label 'a' with the weights 2 and 3"),
    ],
)
def test_weights_that_no_fit_takes_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        split_weights([["b"], labels])

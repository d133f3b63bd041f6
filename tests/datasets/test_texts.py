"""Labeled texts from JSON lines, CSV and TSV."""

import csv
import gzip
import json
import lzma

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xclassic.datasets import DataFileError, products_file, read_records, read_texts


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
        ("a.jsonl", '{"text": null, "labels": []}\n', "field 'text' must be a string, found None"),
        ("a.jsonl", '{"text": "a", "labels": null}\n', r"labels must be strings \(not empty\) or integers, found None"),
        ("a.jsonl", '{"text": "a", "labels": [1.5]}\n', "labels must be strings .* or integers, found"),
        ("a.jsonl", '{"text": "a", "labels": [true]}\n', "labels must be strings .* or integers, found"),
        ("a.jsonl", '{"text": "a", "labels": [""]}\n', "labels must be strings .* or integers, found"),
        ("a.jsonl", '{"text": "a", "labels": "x,,y"}\n', "labels must be strings .* or integers, found 'x,,y'"),
        ("a.jsonl", '{"text": "a", "labels": {"x": 1}}\n', "labels must be strings .* or integers, found"),
        ("a.jsonl", b'{"text": "a", "labels": []}\n{"text": "\xff"}\n', "line 2: byte 0xff is not UTF-8"),
        ("a.csv", "text,labels\na,b\nc\n", "line 3: expected 2 cells as in the first line, found 1"),
        ("a.csv", "text,labels\na,b,c\n", "line 2: expected 2 cells as in the first line, found 3"),
        ("a.csv", 'text,labels\n"a\nb",c\n"d"e,f\n', "line 4: the row is not well-formed"),
        ("a.csv", 'text,labels\na,b\n"open,c\n', "line 3: the row is not well-formed"),
        ("a.csv", "text,text\na,b\n", "line 1: two columns have the same name"),
        ("a.csv", "title,tags\na,b\n", "line 2: there is no field 'text'; found are 'title', 'tags'"),
        ("a.csv", 'text,labels\n"a\nb",c\nd,"e,,f"\n', "line 4: labels must be strings"),
        ("a.tsv", "text\tlabels\na\n", "line 2: expected 2 cells"),
    ],
)
def test_read_texts_rejects_malformed_files(file, name, content, message):
    with pytest.raises(DataFileError, match=message):
        read_texts(file(name, content))


def test_suffix_must_be_known(file):
    for name in ("a.txt", "a.npz", "a", "a.gz"):
        with pytest.raises(
            ValueError, match=r"accepted are \.jsonl, \.ndjson, \.json, \.csv, \.tsv, plain or followed by \.gz"
        ):
            read_texts(file(name, "{}"))


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
LABELS = st.lists(st.text("abc ;äß\"'", min_size=1).filter(lambda label: label == label.strip()))
ROWS = st.lists(st.tuples(TEXTS, LABELS), min_size=1)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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

"""Vocabularies from files: SKOS and tables say the same, and broken or malicious files are refused."""

import builtins
import gzip
import re
import socket

import pytest

from xclassic import LabelHierarchy, Vocabulary, datasets, read_vocabulary

TURTLE = """@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix dct: <http://purl.org/dc/terms/> .
@prefix : <http://example.org/> .

:scheme a skos:ConceptScheme ; skos:prefLabel "Drinks of the world"@en .
:c1 a skos:Concept ; skos:prefLabel "drinks"@en, "Getränke"@de ; skos:narrower :c2 .
:c2 a skos:Concept ; skos:prefLabel "tea"@en, "Tee"@de ; skos:altLabel "cuppa"@en ; skos:hiddenLabel "tee"@en ;
    skos:notation "7.1" ; skos:broader :c1, :c5 .
:c3 a skos:Concept ; skos:prefLabel "brew"@EN ; owl:deprecated true ; dct:isReplacedBy :c2 .
:c4 a skos:Concept ; skos:prefLabel "tisane"@en ; dct:replaces :c6 ; skos:broader :c1 .
:c5 a skos:Concept ; skos:prefLabel "plants"@en .
:c6 a skos:Concept ; skos:prefLabel "herb tea"@en .
[] skos:prefLabel "nobody"@en .
"""
XML = """<?xml version="1.0"?>
<!DOCTYPE rdf:RDF [ <!ENTITY skos "http://www.w3.org/2004/02/skos/core#"> <!ENTITY dct "http://purl.org/dc/terms/">
                    <!ENTITY e "http://example.org/"> ]>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:skos="&skos;" xmlns:dct="&dct;"
         xmlns:owl="http://www.w3.org/2002/07/owl#">
  <skos:ConceptScheme rdf:about="&e;scheme"><skos:prefLabel xml:lang="en">Drinks</skos:prefLabel></skos:ConceptScheme>
  <skos:Concept rdf:about="&e;c1"><skos:prefLabel xml:lang="en">drinks</skos:prefLabel>
    <skos:prefLabel xml:lang="de">Getränke</skos:prefLabel><skos:narrower rdf:resource="&e;c2"/></skos:Concept>
  <skos:Concept rdf:about="&e;c2"><skos:prefLabel xml:lang="en">tea</skos:prefLabel>
    <skos:prefLabel xml:lang="de">Tee</skos:prefLabel><skos:altLabel xml:lang="en">cuppa</skos:altLabel>
    <skos:hiddenLabel xml:lang="en">tee</skos:hiddenLabel><skos:notation>7.1</skos:notation>
    <skos:broader rdf:resource="&e;c1"/><skos:broader rdf:resource="&e;c5"/></skos:Concept>
  <rdf:Description rdf:about="&e;c3"><rdf:type rdf:resource="&skos;Concept"/>
    <skos:prefLabel xml:lang="EN">brew</skos:prefLabel><owl:deprecated>true</owl:deprecated>
    <dct:isReplacedBy rdf:resource="&e;c2"/></rdf:Description>
  <skos:Concept rdf:about="&e;c4"><skos:prefLabel xml:lang="en">tisane</skos:prefLabel>
    <dct:replaces rdf:resource="&e;c6"/><skos:broader rdf:resource="&e;c1"/></skos:Concept>
  <skos:Concept rdf:about="&e;c5"><skos:prefLabel xml:lang="en">plants</skos:prefLabel></skos:Concept>
  <skos:Concept rdf:about="&e;c6"><skos:prefLabel xml:lang="en">herb tea</skos:prefLabel></skos:Concept>
</rdf:RDF>
"""
CSV = """uri,label_en,label_de,other_en,notation,broader,deprecated,replaced_by
http://example.org/c1,drinks,Getränke,,,,,
http://example.org/c2,tea,Tee,cuppa | tee,7.1,http://example.org/c1|<http://example.org/c5>,,
http://example.org/c3,brew,,,,,true,http://example.org/c2
http://example.org/c4,tisane,,,,http://example.org/c1,no,
http://example.org/c5,plants,,,,,,
http://example.org/c6,herb tea,,,,,,http://example.org/c4
"""
FILES = {
    "drinks.ttl": TURTLE,
    "drinks.rdf": XML,
    "drinks.csv": CSV,
    "drinks.tsv": CSV.replace(",", "\t"),
    "turtle": TURTLE,
    "xml": XML,
    "csv": CSV,
    "tsv": CSV.replace(",", "\t"),
}


def uri(name):
    return f"http://example.org/{name}"


def drinks():
    return Vocabulary(
        {
            uri("c1"): {"en": "drinks", "de": "Getränke"},
            uri("c2"): {"en": "tea", "de": "Tee"},
            uri("c3"): {"en": "brew"},
            uri("c4"): {"en": "tisane"},
            uri("c5"): {"en": "plants"},
            uri("c6"): {"en": "herb tea"},
        },
        others={uri("c2"): {"en": ["cuppa", "tee"]}},
        broader={uri("c2"): [uri("c1"), uri("c5")], uri("c4"): [uri("c1")]},
        deprecated={uri("c3"): [uri("c2")], uri("c6"): [uri("c4")]},
        notations={uri("c2"): "7.1"},
    )


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder, name, text, **options):
    if name.endswith((".ttl", ".rdf", ".nt")) or name in ("turtle", "xml"):
        pytest.importorskip("rdflib")
    return read_vocabulary(write(folder, name, text), **options)


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_says_the_same(name, tmp_path):
    assert read(tmp_path, name, FILES[name]) == drinks()
    compressed = write(tmp_path, f"{name}.gz", gzip.compress(FILES[name].encode()))
    assert read_vocabulary(compressed) == drinks()


def test_annif_writes_tsv_without_names_of_columns(tmp_path):
    text = "<http://e.org/1>\ttea\n\n<http://e.org/2>\tcoffee\t7.2\r\n<http://e.org/3>\n"
    vocabulary = read(tmp_path, "drinks.tsv", "\ufeff" + text)
    assert vocabulary.names() == {"http://e.org/1": "tea", "http://e.org/2": "coffee"}
    assert vocabulary.deprecated == {"http://e.org/3": ()}
    assert vocabulary.notations == {"http://e.org/2": "7.2"}
    assert read(tmp_path, "unnamed", text) == vocabulary
    assert read(tmp_path, "drinks.txt", text, format="tsv") == vocabulary


def test_second_preferred_name_is_another_name(tmp_path):
    text = TURTLE + ':c5 skos:prefLabel "flora"@en, "plants"@en .'
    vocabulary = read(tmp_path, "drinks.ttl", text)
    assert vocabulary.names("en")[uri("c5")] == "flora"
    assert vocabulary.synonyms("en")[uri("c5")] == ["plants"]


def with_names_of_their_own(turtle):
    """Return SKOS whose names are things that have strings, half of them without a URI."""
    found = []

    def thing(match):
        kind, strings = match[1], match[2].split(", ")
        found.extend(strings)
        first = len(found) - len(strings)
        names = [f":n{i}" if i % 2 else f"[ xl:literalForm {found[i]} ]" for i in range(first, len(found))]
        return f"xl:{kind} {', '.join(names)}"

    text = re.sub(r'skos:(\w+Label) ("[^"]*"@?\w*(?:, "[^"]*"@?\w*)*)', thing, turtle)
    forms = [f":n{i} a xl:Label ; xl:literalForm {string} ." for i, string in enumerate(found) if i % 2]
    return "\n".join(["@prefix xl: <http://www.w3.org/2008/05/skos-xl#> .", text, *forms])


def test_names_may_be_things_of_their_own(tmp_path):
    text = with_names_of_their_own(TURTLE)
    assert "skos:prefLabel" not in text
    assert read(tmp_path, "xl.ttl", text) == drinks()
    assert read(tmp_path, "both.ttl", f"{text}\n{TURTLE}") == drinks()


def test_relative_ids_are_as_they_are_written(tmp_path):
    start = "@prefix skos: <http://www.w3.org/2004/02/skos/core#> .\n"
    text = start + "<#a> a skos:Concept ; skos:broader <b> .\n<b> a skos:Concept ."
    vocabulary = read(tmp_path, "small.ttl", text)
    assert (vocabulary.ids, vocabulary.broader) == (("#a", "b"), {"#a": ("b",)})


def test_names_and_graph_of_a_file(tmp_path):
    vocabulary = read(tmp_path, "drinks.csv", CSV).by_name("en")
    graph = vocabulary.graph()
    assert graph.labels.tolist() == ["drinks", "tea", "tisane", "plants"]
    assert graph.ancestors(1) == ("drinks", "plants")
    assert graph.tree.names[1:].tolist() == ["drinks", "plants", "drinks", "tea", "tisane"]
    assert vocabulary.replace_deprecated([["brew", "herb tea"]]) == [["tea", "tisane"]]
    with pytest.raises(ValueError, match=r"no names in 'fr'; pass one of.*'de', 'en'"):
        vocabulary.names("fr")
    assert not isinstance(graph, LabelHierarchy)


# What is refused


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "<u:1>\ttea\n<u:2>\ta\tb\tc\n", r"a.tsv, line 2: expected 1 to 3 cells .*found 4"),
        ("a.tsv", "uri\tlabel\nu:1\ttea\nu:2\n", "line 3: expected 2 cells as in the first line, found 1"),
        ("a.tsv", "<u:1>\ttea\n<u:1>\tcoffee\n", "line 2: the concept 'u:1' is in line 1 already"),
        ("a.tsv", "<u:1>\ttea\n\tcoffee\n", "line 2: there is no id"),
        ("a.csv", "uri,name\nu:1,tea\n", "line 1: .* names the columns 'uri', 'name'; accepted are uri or id"),
        ("a.csv", "label\ntea\n", "line 1: its first line names the columns 'label'"),
        ("a.csv", "uri,id,label\na,b,tea\n", "line 1: its first line names"),
        ("a.csv", "id,label,deprecated\na,tea,maybe\n", "line 2: deprecated is 'maybe'; accepted are true and false"),
        ("a.csv", "id,label,broader\na,tea,b\n", "a.csv: broader leads 1 times .*'b', from 'a'"),
        ("a.csv", 'id,label\na,"tea\n', "line 2: the row is not well-formed"),
        ("a.csv", "id,label\n", "there is no concept in it"),
        ("a.tsv", b"<u:1>\tt\xe4\n", "line 1: byte 0xe4 is not UTF-8"),
        ("a.txt", "tea, coffee\n", "neither its name nor its first line tells what it is.*'tea, coffee'"),
        ("a.txt", "", "neither its name"),
        ("a.tsv", "", "there is no concept in it"),
        ("a.ttl", TURTLE.replace(":c5 a skos:Concept ;", ":c5 a skos:Concept"), "line 12: the Turtle cannot be read"),
        ("a.ttl", TURTLE.replace("@prefix dct: <http://purl.org/dc/terms/> .\n", ""), "line 9.*dct"),
        ("a.ttl", TURTLE.rpartition("[]")[0].removesuffix(" .\n"), "cannot be read .it ends within a statement"),
        ("a.ttl", TURTLE.encode("latin-1"), "line 7: byte 0xe4 is not UTF-8"),
        ("a.ttl", "@prefix a: <http://e.org/> .\na:b a:c a:d .", "no skos:Concept is in it"),
        ("a.ttl", "<a> <b> " + "(" * 100_000, "nested too deeply|cannot be read"),
        ("a.ttl", "<a> <b> " + "[" * 100_000, "nested too deeply|cannot be read"),
        ("a.ttl", TURTLE.replace(":c1, :c5", ":c1, :c9"), "broader leads 1 times .*c9', from .*c2'"),
        ("a.rdf", XML.replace("</rdf:RDF>", ""), "line 2.: the XML is not well-formed .no element found"),
        ("a.rdf", XML.replace("</skos:altLabel>", ""), "line 12: the XML is not well-formed .mismatched tag"),
        ("a.rdf", XML.replace('rdf:about="&e;c5"', 'rdf:about="&e;c5" rdf:ID="c5"'), "the RDF/XML cannot be read"),
        ("a.rdf", "<html><body>tea</body></html>", "no skos:Concept is in it"),
        ("a.rdf", TURTLE, "line 1: the XML is not well-formed"),
        ("a.rdf.gz", gzip.compress(XML.encode())[:-20], "damaged or cut short"),
    ],
)  # fmt: skip
def test_broken_files_are_refused(name, text, message, tmp_path):
    with pytest.raises(datasets.DataFileError, match=message):
        read(tmp_path, name, text)


def test_steps_to_strangers_are_dropped_where_asked(tmp_path):
    vocabulary = read(tmp_path, "a.csv", "id,label,broader\na,tea,b\n", unknown="drop")
    assert vocabulary.broader == {}
    with pytest.raises(ValueError, match="unknown is 'keep'"):
        read(tmp_path, "a.csv", CSV, unknown="keep")
    with pytest.raises(ValueError, match="format is 'n3'"):
        read(tmp_path, "a.csv", CSV, format="n3")


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(10))


@pytest.mark.parametrize(
    "entities",
    [
        LAUGHS,
        '<!ENTITY big "' + "ha" * 10_000 + '">',
        '<!ENTITY file SYSTEM "file:///etc/passwd">',
        '<!ENTITY far PUBLIC "x" "http://example.org/x">',
        '<!ENTITY % more SYSTEM "http://example.org/more.dtd"> %more;',
        "<!ENTITY % more '<!ENTITY x \"y\">'> %more;",
    ],
)
def test_entities_that_grow_or_lead_outside_are_refused(entities, tmp_path):
    text = XML.replace("<!DOCTYPE rdf:RDF [", f"<!DOCTYPE rdf:RDF [{entities}").replace(
        ">tea<", ">&l9;&big;&file;&far;<"
    )
    with pytest.raises(datasets.DataFileError, match="line 2: it declares the entity"):
        read(tmp_path, "a.rdf", text)


def test_nothing_is_fetched(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    imports = (
        "<http://example.org/scheme> owl:imports <http://example.org/more> ; skos:exactMatch <http://example.org/x> ."
    )
    assert read(tmp_path, "drinks.ttl", TURTLE + imports) == drinks()
    outside = XML.replace("<!DOCTYPE rdf:RDF [", '<!DOCTYPE rdf:RDF SYSTEM "http://example.org/rdf.dtd" [')
    assert read(tmp_path, "drinks.rdf", outside) == drinks()


def test_missing_rdflib_is_named(tmp_path, monkeypatch):
    original = builtins.__import__

    def without_rdflib(name, *arguments, **options):
        if name.startswith("rdflib"):
            raise ModuleNotFoundError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_rdflib)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'xclassic\[skos\]'"):
        read_vocabulary(write(tmp_path, "drinks.ttl", TURTLE))
    assert read_vocabulary(write(tmp_path, "drinks.csv", CSV)) == drinks()

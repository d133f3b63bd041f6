"""Damaged files of vocabularies: they are read, or refused with their name, and what was read makes a graph or none."""

import logging

import pytest
from hypothesis import given

from tests.helpers.odd_inputs import damaged, fuzz, is_refusal, outcome
from xclassic import read_vocabulary

pytestmark = pytest.mark.long
TABLE = """id,label_en,other_en,broader,deprecated,replaced_by,notation
c1,tea,cuppa|brew,c2|c3,,,1
c2,a,,,,,
c3,b,,c2,yes,c1,
"""
FILES = {
    "a.csv": TABLE,
    "a.tsv": TABLE.replace(",", "\t"),
    "annif.tsv": "<u:1>\ttea\n<u:2>\tcoffee\t7.2\n<u:3>\n",
    "a.ttl": """@prefix s: <http://www.w3.org/2004/02/skos/core#> .
@prefix o: <http://www.w3.org/2002/07/owl#> .
<#c1> a s:Concept ; s:prefLabel "tea"@en ; s:altLabel 'cuppa'@en-GB, \"\"\"br\\u0065w\"\"\" ; s:broader <c2>, <c3> .
<c2> a s:Concept ; s:notation 7.1 . <c3> a s:Concept ; o:deprecated true ; s:broader <c2> .
[] s:broader ( <c2> [ a s:Concept ] ) .
""",
    "a.rdf": """<?xml version="1.0"?><!DOCTYPE r:RDF [ <!ENTITY s "http://www.w3.org/2004/02/skos/core#"> ]>
<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:s="&s;">
<s:Concept r:about="c1"><s:prefLabel xml:lang="en">tea</s:prefLabel><s:broader r:resource="c2"/></s:Concept>
<r:Description r:about="c2"><r:type r:resource="&s;Concept"/><s:narrower r:parseType="Collection"><s:Concept/>
</s:narrower></r:Description></r:RDF>
""",
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_vocabularies(name, tmp_path_factory):
    if name in ("a.ttl", "a.rdf"):
        pytest.importorskip("rdflib")
        logging.getLogger("rdflib").setLevel(logging.CRITICAL)
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / f"damaged-{name}"
    path.write_text(FILES[name], encoding="utf-8")
    assert read_vocabulary(path).graph().labels.size  # The sound file is read.

    @fuzz(150)
    @given(changed=damaged(FILES[name].encode()))
    def read(changed):
        path.write_bytes(changed)
        found = outcome(read_vocabulary, path, unknown="drop")
        if is_refusal(found):
            assert path.name in str(found)
            return
        graph = outcome(found.graph)
        if not is_refusal(graph):
            assert graph.tree.labels.size == len(found.current)
        for language in found.languages:
            assert found.synonyms(language).keys() <= found.names(language).keys()
            outcome(found.by_name, language, shared="keep")

    read()

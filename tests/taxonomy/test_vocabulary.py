"""Vocabularies: names, languages, deprecated concepts, and what cannot be told apart."""

import pytest

from xclassic import Vocabulary

PREFERRED = {
    "c1": {"en": "drinks", "de": "Getränke"},
    "c2": {"en": "tea", "de": "Tee"},
    "c3": {"en": "  green \n tea "},
    "c4": {"en": "brew", "fi": "tee"},
    "c5": {"de": "Teeblatt"},
    "c6": {},
}
OTHERS = {
    "c2": {"en": ["cuppa", "tea", " ", "cuppa"], "de": ["Teegetränk"]},
    "c4": {"en": ["infusion"]},
    "c6": {"en": []},
}
BROADER = {"c2": ["c1"], "c3": ["c2", "c1", "c2"], "c6": []}
DEPRECATED = {"c4": ["c5", "c2"], "c5": ["c3"]}


def drinks():
    return Vocabulary(PREFERRED, others=OTHERS, broader=BROADER, deprecated=DEPRECATED, notations={"c2": "7.1"})


def test_plain_data_is_in_order():
    vocabulary = drinks()
    assert vocabulary.ids == ("c1", "c2", "c3", "c4", "c5", "c6")
    assert vocabulary.current == ("c1", "c2", "c3", "c6")
    assert vocabulary.languages == ("de", "en", "fi")
    assert vocabulary.others == {"c2": {"en": ("cuppa",), "de": ("Teegetränk",)}, "c4": {"en": ("infusion",)}}
    assert vocabulary.broader == {"c2": ("c1",), "c3": ("c2", "c1")}
    assert repr(vocabulary) == "Vocabulary(6 concepts, 2 deprecated; languages de, en, fi)"
    assert vocabulary == drinks() != Vocabulary(PREFERRED)
    assert vocabulary != "drinks"


def test_names_of_a_language():
    vocabulary = drinks()
    assert vocabulary.names("en") == {"c1": "drinks", "c2": "tea", "c3": "green tea"}
    assert vocabulary.names("de") == {"c1": "Getränke", "c2": "Tee"}
    assert vocabulary.names("fi") == {}
    assert vocabulary.synonyms("en") == {"c2": ["cuppa", "brew", "infusion"], "c3": ["brew", "infusion"]}
    assert vocabulary.synonyms("de") == {"c2": ["Teegetränk"]}
    assert Vocabulary({"a": {"en": "x"}}).names() == {"a": "x"}
    assert Vocabulary({"a": {"": "x"}}).names() == {"a": "x"}


@pytest.mark.parametrize("ask", [Vocabulary.names, Vocabulary.synonyms, Vocabulary.by_name])
def test_languages_that_are_not_there_are_refused(ask):
    with pytest.raises(
        ValueError, match=r"no names in 'sv'; pass one of those that the vocabulary has: 'de', 'en', 'fi'"
    ):
        ask(drinks(), "sv")
    with pytest.raises(ValueError, match=r"several languages; pass one of.*'de', 'en', 'fi'"):
        ask(drinks())
    for language in ("en", None):
        with pytest.raises(ValueError, match="No concept has a preferred name"):
            ask(Vocabulary({"a": {}}), language)


def test_names_take_the_place_of_ids():
    named = drinks().by_name("en")
    assert named.ids == ("drinks", "tea", "green tea", "brew", "c5", "c6")
    assert named.broader == {"tea": ("drinks",), "green tea": ("tea", "drinks")}
    assert named.deprecated == {"brew": ("c5", "tea"), "c5": ("green tea",)}
    assert named.names("de") == {"drinks": "Getränke", "tea": "Tee"}
    assert named.notations == {"tea": "7.1"}
    assert named.by_name("en") == named
    assert drinks().by_notation().ids == ("c1", "7.1", "c3", "c4", "c5", "c6")
    with pytest.raises(ValueError, match="No concept has a notation"):
        Vocabulary({"a": {}}).by_notation()


def test_shared_names_are_named_and_kept_only_where_asked():
    banks = Vocabulary(
        {"c1": {"en": "bank"}, "c2": {"en": "bank"}, "c3": {"en": "river"}, "c4": {"en": "river"}},
        broader={"c2": ["c3"]},
        deprecated={"c4": ["c3"]},
    )
    with pytest.raises(ValueError, match=r"1 times concepts share a name .first: 'bank', of 'c1' and 'c2'"):
        banks.by_name()
    kept = banks.by_name(shared="keep")
    assert kept.ids == ("c1", "c2", "river", "c4")  # A deprecated concept gives way.
    assert kept.broader == {"c2": ("river",)}
    assert banks.names() == {"c1": "bank", "c2": "bank", "c3": "river"}  # Ids tell them apart.
    with pytest.raises(ValueError, match="shared is 'merge'"):
        banks.by_name(shared="merge")


def test_id_that_is_the_name_of_another_is_refused():
    confused = Vocabulary({"a": {"en": "b"}, "b": {"en": "b"}, "c": {"en": "x"}}, deprecated={"b": []})
    with pytest.raises(ValueError, match="The deprecated concept 'b' cannot keep its id"):
        confused.by_name()
    with pytest.raises(ValueError, match=r"share a name .first: 'b', of 'a' and 'b'"):
        Vocabulary({"a": {"en": "b"}, "b": {}}).by_name()


def test_graph_has_the_current_concepts_as_labels():
    graph = drinks().graph()
    assert graph.labels.tolist() == ["c1", "c2", "c3", "c6"]
    assert graph.concepts.size == 6
    assert graph.ancestors(2) == ("c1", "c2")
    assert drinks().graph(["c4", "c3"]).labels.tolist() == ["c4", "c3"]
    with pytest.raises(ValueError, match="1 of 1 labels are no concepts"):
        drinks().graph(["c9"])


def test_cycle_is_named_by_the_graph_alone():
    vocabulary = Vocabulary({"a": {"en": "x"}, "b": {}, "c": {}}, broader={"a": ["c"], "c": ["b"], "b": ["a"]})
    assert vocabulary.names() == {"a": "x"}
    with pytest.raises(ValueError, match="cycle of 3, from child to parent: 'a' -> 'c' -> 'b' -> 'a'"):
        vocabulary.graph()


def test_deprecated_labels_give_way():
    rows = drinks().replace_deprecated([["c4", "c1"], ["c5", "c3", "stranger"], [], ("c2",)])
    assert rows == [["c2", "c3", "c1"], ["c3", "stranger"], [], ["c2"]]
    round_about = Vocabulary({"a": {}, "b": {}, "c": {}}, deprecated={"a": ["b"], "b": ["a"], "c": []})
    assert round_about.replace_deprecated([["a", "c"]]) == [["a", "c"]]  # Nothing replaces them.
    for row in ("c4", None):
        with pytest.raises(TypeError, match=f"Row 0 is {row!r}; pass a list of labels"):
            drinks().replace_deprecated([row])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preferred": {}}, "preferred is empty"),
        ({"preferred": {"": {}}}, "empty id"),
        ({"preferred": {"a": {}}, "others": {"b": {}}}, r"others holds 1 that are no concepts \(first: \['b'\]\)"),
        ({"preferred": {"a": {}}, "broader": {"a": ["b"]}}, "broader leads 1 times .* .first: 'b', from 'a'"),
        ({"preferred": {"a": {}}, "deprecated": {"a": ["b", "c"]}}, "deprecated leads 2 times"),
        ({"preferred": {"a": {}}, "notations": {"b": "1"}}, "notations holds 1"),
        ({"preferred": {"a": {}}, "unknown": "keep"}, "unknown is 'keep'"),
    ],
)
def test_what_is_no_vocabulary_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preferred": {"a": {"en": 7}}}, "A name of 'a' is 7"),
        ({"preferred": {7: {}}}, "is 7; they are strings"),
        ({"preferred": {"a": {}}, "others": {"a": {"en": "tea"}}}, "others of 'a' are 'tea'; pass a list"),
        ({"preferred": {"a": {}}, "broader": {"a": "a"}}, "broader of 'a' is 'a'; pass a list"),
        ({"preferred": {"a": {}}, "notations": {"a": 7}}, "is 7; they are strings"),
        ({"preferred": None}, "preferred is None, a NoneType; pass a dict of the names of each concept"),
        ({"preferred": ["a"]}, "preferred is .'a'., a list; pass a dict"),
        ({"preferred": {"a": "tea"}}, "preferred of 'a' is 'tea', a str; pass a dict of names by language"),
        ({"preferred": {"a": {}}, "others": {"a": ["tea"]}}, "others of 'a' is .'tea'., a list; pass a dict"),
        ({"preferred": {"a": {}}, "others": {"a": {"en": None}}}, "others of 'a' are None; pass a list"),
        ({"preferred": {"a": {}}, "others": ["a"]}, "others is .'a'., a list; pass a dict by concept"),
        ({"preferred": {"a": {}}, "broader": {"a": None}}, "broader of 'a' is None; pass a list"),
    ],
)
def test_what_is_no_text_is_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        Vocabulary(**arguments)


def test_steps_to_strangers_are_dropped_where_asked():
    vocabulary = Vocabulary({"a": {}, "b": {}}, broader={"a": ["x", "b"]}, deprecated={"b": ["y"]}, unknown="drop")
    assert vocabulary.broader == {"a": ("b",)}
    assert vocabulary.deprecated == {"b": ()}

"""The type of a root is found from what was put into it, even where its first part is gone."""

from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment

from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.roots import RootKind, root_kinds


def test_a_text_whose_beginning_was_deleted_is_still_a_text() -> None:
    doc: Doc = Doc()
    text = doc.get("t", type=Text)
    text += "gone"
    text += " kept"
    del text[0:4]
    assert root_kinds(decode_update(doc.get_update())) == {"t": RootKind.TEXT}


def test_each_root_has_the_type_of_its_content_and_nested_content_counts_for_none() -> None:
    doc: Doc = Doc()
    doc.get("m", type=Map)["k"] = Text("nested text")
    doc.get("l", type=Array).extend([1, Text("nested text")])
    fragment = doc.get("x", type=XmlFragment)
    fragment.children.append(XmlElement("p"))
    fragment.children.append("text")
    del fragment.children[0]
    assert root_kinds(decode_update(doc.get_update())) == {
        "m": RootKind.MAP,
        "l": RootKind.ARRAY,
        "x": RootKind.XML,
    }


def test_origins_that_lead_in_a_circle_or_nowhere_end_the_search() -> None:
    circle = bytes.fromhex("0101010084010003616263" + "00")
    nowhere = bytes.fromhex("01010100840900036162" + "6300")
    for raw in (circle, nowhere):
        assert root_kinds(decode_update(raw)) == {}

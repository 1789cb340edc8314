"""XML documents: texts that XML can hold, and elements as bytes. Pure.

Escaping is the standard library's.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from reproducibility import visible

# Section 2.2 of XML 1.0: neither is a character.
_NO_CHARACTERS = re.compile("[\ufffe\uffff]")


def text(words: str) -> str:
    r"""Foreign text on one line, with what XML cannot hold spelled (`\x1b`)."""
    return _NO_CHARACTERS.sub(lambda found: f"\\u{ord(found[0]):04x}", visible.line(words))


def add(parent: ET.Element, name: str, words: str = "", **attributes: str) -> ET.Element:
    """A child of an element, with foreign text in it and in its attributes."""
    those = {key.rstrip("_").replace("_", "-"): text(value) for key, value in attributes.items()}
    child = ET.SubElement(parent, name, those)
    if words:
        child.text = text(words)
    return child


def document(root: ET.Element) -> bytes:
    """A whole document, in UTF-8, indented."""
    ET.indent(root)
    written = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{written}\n'.encode()

import unicodedata

import pytest

from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.runtime import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.png", "plain.png"),
        ("ä 日本 🦊 {x} [red] \\n $1$.png", "ä 日本 🦊 {x} [red] \\n $1$.png"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("a\xa0b\u200bc", r"a\xa0b\u200bc"),
        ("\udcff.png", r"\udcff.png"),
    ],
)
def test_what_is_shown(text, shown):
    assert printable(text) == shown


def test_no_character_acts_on_a_terminal():
    everything = "".join(map(chr, range(0x110000)))
    shown = printable(everything)
    for character in set(shown):
        category = unicodedata.category(character)
        assert category[0] != "C"
        assert category not in ("Zl", "Zp")
    shown.encode("utf-8")


@pytest.mark.parametrize("kind", [MemorizationError, MemorizationWarning])
def test_messages_of_errors_and_warnings(kind):
    assert str(kind("no \x1b[31m\n.png")) == r"no \x1b[31m\n.png"

"""Every word has an owner and something to do first."""

from __future__ import annotations

from orchestrator.history import advice
from orchestrator.history.words import Word


def test_every_word_is_somebodys_matter() -> None:
    assert list(advice.OWNERS) == list(advice.FIRST) == list(Word)
    for word in Word:
        # A night that is good asks nobody for anything.
        assert advice.OWNERS[word].startswith("nobody's") is word.good
        assert advice.FIRST[word].startswith("nothing") is word.good
        assert advice.FIRST[word].count("`") % 2 == 0

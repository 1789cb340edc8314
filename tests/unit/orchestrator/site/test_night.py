"""The page of a night: what was found, what was done, and what lies beside it."""

from __future__ import annotations

import pytest

from orchestrator.history.words import Word
from orchestrator.site import night as nightly
from orchestrator.site.site import Site
from tests import nights
from tests.unit.orchestrator.site.sites import FILES, MONTH, TITLE, of_night, parsed, site


def links(data: bytes) -> dict[str, str]:
    """Where each link leads, by its address."""
    found = {}
    for part in data.decode().split("<a ")[1:]:
        address = part.partition('href="')[2].partition('"')[0]
        words = parsed(f"<a {part.partition('</a>')[0]}</a>".encode()).text
        found[address] = words
    return found


def test_it_leads_to_the_nights_before_and_after_and_to_its_files() -> None:
    made = site(MONTH, kept=[3, 12, 20])
    found = links(nightly.page(made, MONTH[11]))
    assert found["../../nights/000003/index.html"] == "← Night 3"
    assert found["../../nights/000020/index.html"] == "Night 20 →"
    assert found["../../index.html#nights"] == "All nights"
    for name in FILES:
        assert found[name.replace(" ", "%20")] == name
    assert {one for one in found if one.startswith("../../nights/")} == {
        "../../nights/000003/index.html",
        "../../nights/000020/index.html",
        # Since when it is so: its own page.
        "../../nights/000012/index.html",
    }
    bare = nightly.page(Site(MONTH, {12: ()}, TITLE), MONTH[11])
    assert "Nothing else is kept of this night." in parsed(bare).text
    assert "night.json" not in links(bare)


def test_a_file_that_no_address_has_is_named() -> None:
    made = Site((nights.night(),), {1: ("../../etc/passwd", "ok")}, TITLE)
    page = nightly.page(made, made.nights[0])
    assert "../../etc/passwd" in parsed(page).text
    assert "passwd" not in "".join(links(page))
    assert links(page)["ok"] == "ok"


def test_stages_have_what_a_person_types() -> None:
    failed = nights.stage("boot", state="failed", status=3, reason="no prompt within 300 s",
                          command=("orchestrate", "boot", "a folder"))  # fmt: skip
    left = nights.stage("verify", state="left out", status=None, reason="nothing booted")
    said = of_night(nights.night(stages=(nights.stage("build"), failed, left)))
    assert "build✓ done1 min 12 sorchestrate build" in said
    failed_one = "boot✕ failed exit status 3no prompt within 300 s1 min 12 s"
    assert f"{failed_one}orchestrate boot 'a folder'" in said
    # What did not run took no time.
    assert "verify○ left outnothing bootedorchestrate verify" in said


def test_what_varies_is_explained() -> None:
    one = nights.varying(first_night=12, cause="time")
    made = site(MONTH)
    night = MONTH[13].model_copy(update={"varying": (one,)})
    page = nightly.page(made, night)
    said = parsed(page).text
    assert "commands/amd64/0Class of the causetimeSeenby an audit, first in night 12" in said
    assert str(one.key) in said
    assert str(one.first) in said
    assert str(one.second) in said
    assert "  first  2026-03-12T03:04:11\n  second 2026-03-12T03:41:52" in said
    assert "between builds of different nights" in of_night(
        nights.night(varying=(nights.varying(seen="build", second=None, lines=()),))
    )


def test_that_nothing_varied_is_said_with_what_was_audited() -> None:
    assert "1 of 7 steps were audited in this night." in of_night(MONTH[10])
    assert "No step that was given the same was seen to make something else." in of_night(MONTH[10])
    assert "0 of 0 steps were audited" in of_night(nights.night(steps=()))


def test_checks_that_did_not_pass_come_the_worst_first() -> None:
    said = of_night(MONTH[16])
    assert "5 comparisons: 3 PASS, 1 SKIP, 1 FAIL." in said
    failed = said.index("3 paths differ: pkg/tool/linux_riscv64/compile")
    assert failed < said.index("the public log has no record")
    assert "14 files are the same" not in said
    assert "an architecture's toolchain comes out otherwise when F2 builds it" in said


def test_what_changed_leads_to_what_is_between() -> None:
    page = nightly.page(site(MONTH), MONTH[3])
    assert links(page)["https://example.org/u-root/compare/v0.15.0...v0.16.0"] == (
        "what is between both, at example.org"
    )
    assert 'v0.16.0" rel="noreferrer"' in page.decode()
    said = parsed(page).text
    assert "input u-rootv0.15.0v0.16.0" in said
    assert "9 changed outputs follow from input u-root" in said
    assert "4 more outputs" in said
    for words in ("javascript:alert(1)", "http://example.org/", "see https://example.org/"):
        changed = nights.night(changes=(nights.change(link=words),), previous=1, number=2)
        alone = nightly.page(site([nights.night(), changed]), changed)
        assert words in parsed(alone).text
        assert not any(one.startswith(("http", "java")) for one in links(alone))


def test_chains_are_grouped_by_what_they_begin_with() -> None:
    those = (
        nights.consequence(step="F1", chain=("input go", "T1/dist", "F1")),
        nights.consequence(step="F2", chain=("input go", "F1", "F2")),
        nights.consequence(step="image", chain=("spec", "image")),
        nights.consequence(step="alone", chain=()),
        nights.consequence(step="long", chain=tuple(f"step {number}" for number in range(40))),
    )
    said = of_night(nights.night(consequences=those, number=2, previous=1), nights.night())
    assert "2 changed outputs follow from input goinput goT1/distF1input goF1F2" in said
    assert "1 changed output follows from specspecimage" in said
    assert "1 changed output follows from alonealone" in said
    assert "step 5…step 34" in said


def test_a_first_night_is_compared_with_nothing() -> None:
    said = of_night(nights.night(previous=None))
    assert "There is no night before that built something." in said
    quiet = of_night(nights.night(2), nights.night(1))
    assert "Nothing that it was built from is known to have changed." in quiet


def test_a_night_that_built_nothing_compares_nothing() -> None:
    none = {"image": None, "steps": (), "checks": (), "changes": ()}
    said = of_night(nights.night(2, word=Word.INFRASTRUCTURE, **none), nights.night(1))
    assert "Nothing was built, so no step was looked at." in said
    assert "Nothing was built, so nothing was compared." in said
    assert "Nothing was built, so it is not known what changed." in said
    assert "nothing: nothing was built" in said
    assert "known to have changed" not in said


@pytest.mark.parametrize("word", Word)
def test_every_word_has_a_page(word: Word) -> None:
    said = of_night(nights.night(2, word=word, since=2), nights.night())
    assert f"{word.value}Night 2 (2026-01-02): {word.meaning}." in said


def test_what_happened_besides_is_said() -> None:
    night = nights.night(
        notes=("the mirror was down",), attempts=3, locked="the night before", image=None,
        verdict=None, spec=None,
    )  # fmt: skip
    said = of_night(night)
    assert "the mirror was down" in said
    assert "Begun3 times" in said
    assert "that of the night before" in said
    assert "Imagenone was built" in said
    assert "Specnot known" in said
    without = of_night(nights.night(lock=None, locked=None))
    assert "Locknot knownthere was none" in without


def test_a_clock_that_went_back_is_said() -> None:
    said = of_night(MONTH[27], *MONTH[:27])
    assert "its clock stood earlier than that of the night before" in said


def test_steps_and_machines() -> None:
    audited = nights.step("a", audited=5, verdict="FAIL", others=(nights.of("other"),))
    steps = (nights.step("b", seconds=5.0, cached=False, audited=None, verdict=None), audited)
    said = of_night(nights.night(5, steps=steps, machines=(nights.machine(verdict="FAIL"),)))
    assert (
        "2 steps: 1 ran, 1 remembered. Audited in this night: 1; never: 1; the longest ago: night 5"
    ) in said
    first, second = (str(nights.of(words)).partition(":")[2][:12]
                     for words in ("the outputs of a", "other"))  # fmt: skip
    assert f"a12.5 sremembered✕ FAILnight 5 (2026-01-05){first}and {second}" in said
    assert "b5.0 snever" in said
    assert "pc-bios✕ FAIL21.5 s2 commands" in said
    assert "ls -l /0.2 s" in said

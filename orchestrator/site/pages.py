"""All files of a site, from the nights of a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.markup import addresses
from orchestrator.site import badge, feed, index, night, year
from orchestrator.site.site import Site, night_path, year_path
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orchestrator.history.model import Night


def pages(
    nights: Sequence[Night],
    *,
    kept: Mapping[int, Collection[str]],
    title: str,
    base: str = "",
    identity: str = "",
) -> dict[str, bytes]:
    """The bytes of every file of a site, by its path, sorted. The same values, the same bytes.

    `nights`: the oldest first; those that are not kept may lack steps, checks and inputs. `kept`:
    the numbers of the nights that have a folder, `nights/000012/`, and which files lie in it beside
    its page, as paths within it (`report.html`, `logs/F1.log`); the page links to them. `title`:
    what the site is called. `base`: its public address where that is known, `https://host/folder/`;
    the feed's links are absolute then. `identity`: what the feed's ids are made from, the title
    where it is empty; who changes it makes readers see all entries anew.

    Raises:
        InputError: the base is no address of a folder.
        ValueError: the numbers of the nights do not rise, or one that is kept is not among them.
    """
    if base and not addresses.is_folder(base):
        raise InputError(
            "this is no public address of a folder of pages",
            subject=base,
            remedy="write it as https://host/folder/, with a slash at its end, or leave it out",
        )
    # The page itself lies there too, once it was written.
    files = {number: tuple(sorted({*names} - {index.PATH})) for number, names in kept.items()}
    site = Site(tuple(nights), files, title)
    last = site.last
    found = {
        badge.PATH: badge.badge(None if last is None else last.word),
        feed.PATH: feed.feed(site, base=base, identity=identity or title),
        index.PATH: index.page(site),
    }
    for name, those in year.years(site).items():
        found[year_path(name)] = year.page(site, name, those)
    for one in site.nights:
        if one.number in files:
            found[night_path(one.number)] = night.page(site, one)
    return dict(sorted(found.items()))

"""The history of nights: its file, the record of a night, the rule of what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.history import model
from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.history.retention import Keep
from reproducibility.errors import InfrastructureError
from tests.fuzz import scratch
from tests.fuzz.target import Target
from tests.nights import keep
from tests.unit.orchestrator.history import nights

if TYPE_CHECKING:
    from collections.abc import Sequence

_MONTH = list(nights.month())
_NIGHTS = [_MONTH[0], _MONTH[11].model_copy(update={"number": 2})]


def _file(data: bytes) -> None:
    """A file in the history's place: what is read of it is a night, or it is refused."""
    with scratch.fresh() as folder:
        path = folder / FILE
        path.write_bytes(data)
        with History.to_read(path) as history:
            found = history.nights(details=True)
            history.bisect()
        if data and path.read_bytes() != data:
            raise AssertionError("reading a history changed it")
    if found not in ([], _NIGHTS):
        raise AssertionError("a history says something that nobody wrote")


def _files() -> Sequence[bytes]:
    with scratch.fresh() as folder:
        for number, those in enumerate(([], _NIGHTS)):
            with History.open(folder / str(number)) as history:
                keep(history, those)
        return [(folder / str(number)).read_bytes() for number in (0, 1)]


def _night(data: bytes) -> None:
    found = model.parse(data)
    if model.parse(model.dumps(found)) != found:
        raise AssertionError("a night does not read back")


def _keep(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    found = Keep.parse(text)
    if Keep.parse(str(found)) != found:
        raise AssertionError("a rule does not read back")


def _many() -> Sequence[bytes]:
    """Tables of a database whose pages say that they have no end."""
    whole = _files()[1]
    page = 4096
    return [whole + whole[-page:] * 100, whole[:page] + b"\r" * (1 << 19), whole * 3]


TARGETS = (
    Target("history", _file, _files, refusals=(InfrastructureError,), nasty=_many, examples=30),
    Target("night", _night, lambda: [*map(model.dumps, _MONTH)]),
    Target("keep", _keep, lambda: [b"30 nights, 12 months", b"1 night"]),
)

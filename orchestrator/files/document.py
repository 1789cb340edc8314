"""Parses documents from files into pydantic models."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from reproducibility import shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from reproducibility.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def shaped(
    model: type[Model], document: object, refuse: Callable[[str], InputError], *, most: int
) -> Model:
    """Return a document as a value of its model.

    `refuse`: the error for what is wrong and where, which is told as in `malformed at
    inputs[3].digest: Field required`. `most`: how many values it may hold.

    Raises:
        InputError: it is not what the model says, or goes beyond the bounds of documents.
    """
    beyond = shape.excess(document, most)
    if beyond is not None:
        key, words = beyond
        raise refuse(_malformed(key, words))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = shape.within(first["loc"], document, missing=first["type"] == "missing")
        raise refuse(_malformed(key, first["msg"])) from error


def _malformed(key: shape.Key, words: str) -> str:
    return f"malformed at {shape.spelled(key[:8])}: {words}" if key else f"malformed: {words}"

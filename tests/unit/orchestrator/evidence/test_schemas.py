from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from orchestrator.evidence import schemas
from orchestrator.lock.file import LEFT_OUT_IF_EMPTY
from tests import results
from tests.unit.orchestrator.audit.test_model import document as audit_document
from tests.unit.orchestrator.evidence import samples

DOCUMENTS: dict[str, dict[str, Any]] = {
    "result": results.document(inputs=samples.LOCK.model_dump(mode="json")["inputs"]),
    "audit": audit_document(),
    "lock": json.loads(samples.LOCK_FILE),
}


@pytest.mark.parametrize("name", [*schemas.MODELS])
def test_documents_have_their_schema(name: str) -> None:
    schema = schemas.schema(name)
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    validator(schema).validate(DOCUMENTS[name])
    with pytest.raises(jsonschema.ValidationError):
        validator(schema).validate({**DOCUMENTS[name], "more": 1})
    may_be_left_out = LEFT_OUT_IF_EMPTY if name == "lock" else frozenset()
    for key in DOCUMENTS[name]:
        if key in may_be_left_out:
            continue
        without = {other: value for other, value in DOCUMENTS[name].items() if other != key}
        with pytest.raises(jsonschema.ValidationError):
            validator(schema).validate(without)


@pytest.mark.parametrize("key", sorted(LEFT_OUT_IF_EMPTY))
def test_a_lock_need_not_have_what_only_audits_and_farms_need(key: str) -> None:
    without = {other: value for other, value in DOCUMENTS["lock"].items() if other != key}
    jsonschema.Draft202012Validator(schemas.schema("lock")).validate(without)

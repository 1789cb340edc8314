from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from orchestrator.evidence import schemas
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
    for key in DOCUMENTS[name]:
        without = {other: value for other, value in DOCUMENTS[name].items() if other != key}
        with pytest.raises(jsonschema.ValidationError):
            validator(schema).validate(without)

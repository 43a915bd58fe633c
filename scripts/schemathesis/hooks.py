"""Checks for Schemathesis: a valid request by docs/openapi.json succeeds, an invalid one fails, but for the exclusions of
exclusions.toml, which name what OpenAPI cannot say."""

import pathlib
import re
import tomllib

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.generation.meta import TestPhase
from schemathesis.specs.openapi.checks import negative_data_rejection

EXCLUSIONS = tomllib.loads((pathlib.Path(__file__).parent / "exclusions.toml").read_text())

# The request was well formed: its credentials, its target or the state of the server were not as it needs them.
WELL_FORMED = {401, 403, 404, 409}


def operation_of(case):
    return case.operation.definition.raw.get("operationId")


@schemathesis.check
def valid_requests_succeed(ctx, response, case):
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or case.method.upper() != case.operation.method.upper():
        return
    # Its stateful phase takes values from earlier responses without asking whether the schema allows them.
    if meta.phase.name == TestPhase.STATEFUL:
        return
    status = response.status_code
    if status < 400 or status in WELL_FORMED:
        return
    try:
        field = (response.json().get("data") or {}).get("field")
    except ValueError:
        field = None
    operation = operation_of(case)
    is_excluded = any(
        operation in exclusion["operations"] and status == exclusion["status"] and field == exclusion.get("field")
        for exclusion in EXCLUSIONS["refused"]
    )
    assert is_excluded, f"{operation} refused a request that is valid by the document: {status}, field {field}"


@schemathesis.check
def invalid_requests_fail(ctx, response, case):
    try:
        negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData as failure:
        operation = operation_of(case)
        is_excluded = any(
            operation in exclusion["operations"] and re.search(exclusion["violation"], failure.message)
            for exclusion in EXCLUSIONS["accepted"]
        )
        if not is_excluded:
            raise

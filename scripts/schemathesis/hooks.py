"""Checks for Schemathesis: a request that is valid by docs/openapi.json succeeds, but for the exclusions of
exclusions.toml, which name what OpenAPI cannot say."""

import pathlib
import tomllib

import schemathesis

EXCLUSIONS = tomllib.loads((pathlib.Path(__file__).parent / "exclusions.toml").read_text())["exclusion"]

# The request was well formed: its credentials, its target or the state of the server were not as it needs them.
WELL_FORMED = {401, 403, 404, 409}


def is_excluded(operation, status, field):
    return any(
        operation in exclusion["operations"] and status == exclusion["status"] and field == exclusion.get("field")
        for exclusion in EXCLUSIONS
    )


@schemathesis.check
def valid_requests_succeed(ctx, response, case):
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or case.method.upper() != case.operation.method.upper():
        return
    status = response.status_code
    if status < 400 or status in WELL_FORMED:
        return
    field = None
    try:
        data = response.json().get("data") or {}
        field = data.get("field")
    except ValueError:
        pass
    operation = case.operation.definition.raw.get("operationId")
    assert is_excluded(operation, status, field), (
        f"{operation} refused a request that is valid by the document: {status}, field {field}"
    )

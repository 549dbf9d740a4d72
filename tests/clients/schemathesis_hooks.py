"""What Schemathesis has to know of a gateway. Imported by it, as SCHEMATHESIS_HOOKS says."""

import schemathesis

#: What is open to everybody.
OPEN = {"/healthz", "/readyz", "/v1/login"}


@schemathesis.hook
def filter_query(context, query):
    # A stream never ends by itself.
    return not query or str(query.get("follow", "")).lower() != "true"


@schemathesis.check
def nothing_for_strangers(context, response, case):
    """Whatever is asked without a proof is 401; a page of another origin, or too much, is refused before."""
    if case.operation.path in OPEN:
        return
    if response.status_code not in (401, 429):
        raise AssertionError(f"a stranger was answered {response.status_code}")

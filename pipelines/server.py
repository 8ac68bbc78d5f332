"""Whether a Prefect server answers, asked before anything is begun: Prefect itself would print its whole stack."""

import httpx

from bertline.base.errors import BertlineError, masked

_SECONDS = 5.0


def healthy(address: str) -> bool:
    """Whether a Prefect API answers at an address; a user and password in it are sent along."""
    try:
        return httpx.get(f"{address.rstrip('/')}/health", timeout=_SECONDS).status_code == httpx.codes.OK
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def check_server(address: str) -> None:
    """Refuse an address at which no Prefect API answers.

    Raises:
        BertlineError: so it is.
    """
    if not healthy(address):
        fix = "Start that server, or unset PREFECT_API_URL to have one started"
        raise BertlineError("no Prefect server answers", where=masked(address), fix=fix)

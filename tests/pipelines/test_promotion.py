"""Moving the champion by hand: what has been done is never called failed, for Retry would do it once more."""

from typing import NoReturn

import pytest

from bertline.base.errors import BertlineError
from pipelines.promotion import rollback


@pytest.mark.usefixtures("prefect_server")
def test_a_rollback_that_is_done_has_succeeded_also_where_it_cannot_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> NoReturn:
        raise BertlineError("the server does not answer", where="MLflow", fix="Try again")

    monkeypatch.setattr("bertline.registry.aliases.move", lambda *_: "champion is version 1")
    monkeypatch.setattr("bertline.registry.decisions.describe", away)
    done = rollback("docs_qa", return_state=True)
    assert (done.is_completed(), done.message) == (True, "champion is version 1")
    monkeypatch.setattr("bertline.registry.aliases.move", away)
    failed = rollback("docs_qa", return_state=True)
    assert failed.is_failed() and "the server does not answer" in str(failed.message)

"""The one place that calls Great Expectations: checks become suites, frames become batches, results become outcomes.

An ephemeral context, one suite a frame, everything in code. Nothing is sent anywhere and nothing is left on disk:
analytics are off, and pages are written by data_docs.py. Importing Great Expectations takes 2 s, so it happens when
a gate runs, not when its modules are imported.

https://docs.greatexpectations.io/docs/core/introduction/
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertline.validation.checks import Check
from bertline.validation.frames import Frame

_EXAMPLES_ASKED = 20  # a value that is twice at fault is one example: ask for more than are shown


@dataclass(frozen=True)
class Outcome:
    """What Great Expectations found for one check.

    Attributes:
        success: it held.
        observed: what it measured; None where it only counts.
        unexpected_count: rows at fault.
        rows: the first of them, key and column alone.
        values: values at fault, and how often each was met.
        error: why it could not be evaluated; empty if it was.
    """

    success: bool
    observed: Any = None
    unexpected_count: int = 0
    rows: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    values: Sequence[tuple[Any, int]] = field(default_factory=tuple)
    error: str = ""


def validate(frames: Mapping[str, Frame], checks: Sequence[Check]) -> list[Outcome]:
    """Run every check over its frame; the outcomes in the order of the checks."""
    context = _context()
    source = context.data_sources.add_pandas("bertline")
    outcomes: dict[str, Outcome] = {}
    for name in dict.fromkeys(check.frame for check in checks):
        suite = [check for check in checks if check.frame == name]
        for result in _run_suite(context, source, name, frames[name], suite).results:
            outcomes[result.expectation_config.meta["check"]] = _outcome(result)
    return [outcomes[check.name] for check in checks]


def _context() -> Any:
    """An ephemeral context without analytics, progress bars, chatter or a temporary folder for docs."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the context is made
    import great_expectations  # noqa: PLC0415  (2 s)
    from great_expectations.data_context.types.base import (  # noqa: PLC0415
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    configuration = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return great_expectations.get_context(project_config=configuration, mode="ephemeral")


def _run_suite(context: Any, source: Any, name: str, frame: Frame, checks: Sequence[Check]) -> Any:
    """One suite over one frame; returns an ExpectationSuiteValidationResult."""
    import great_expectations  # noqa: PLC0415

    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(
        great_expectations.ExpectationSuite(name=name, expectations=[_configuration(check) for check in checks])
    )
    definition = context.validation_definitions.add(
        great_expectations.ValidationDefinition(name=name, data=batch, suite=suite)
    )
    wanted: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": _EXAMPLES_ASKED}
    if frame.key:
        wanted["unexpected_index_column_names"] = [frame.key]
    return definition.run(batch_parameters={"dataframe": frame.table}, result_format=wanted)


def _configuration(check: Check) -> dict[str, Any]:
    """A check as a suite holds it."""
    column = {} if check.column is None else {"column": check.column}
    return {
        "type": check.expectation,
        "kwargs": {**column, **check.arguments},
        "severity": check.severity,
        "meta": {"check": check.name},
    }


def _outcome(result: Any) -> Outcome:
    found = result.result
    error = _error(result.exception_info)
    if error:
        return Outcome(success=False, observed=error, error=error)
    return Outcome(
        success=bool(result.success),
        observed=found.get("observed_value"),
        unexpected_count=int(found.get("unexpected_count", 0 if result.success else 1)),
        rows=found.get("partial_unexpected_index_list") or (),
        values=[(item["value"], int(item["count"])) for item in found.get("partial_unexpected_counts") or ()],
    )


def _error(information: Mapping[str, Any]) -> str:
    """The first message of an evaluation that raised; Great Expectations nests them under the metrics' ids."""
    if "raised_exception" in information:
        return str(information["exception_message"]) if information["raised_exception"] else ""
    messages = {str(item["exception_message"]) for item in information.values() if item["raised_exception"]}
    return min(messages, default="")

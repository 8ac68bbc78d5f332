"""Orchestration: the DAG of dvc.yaml, run as a Prefect flow. `python -m pipelines.flow --help`.

graph.py reads the DAG from DVC into a plan (plan.py), dvc_stage.py runs one stage, flow.py runs the plan. The library
under src/ knows nothing of DVC or Prefect; they are imported here alone.
"""

import os

# Prefect reads its settings when it is imported, so they are set here, before any module of this package can import it.
# They are defaults: what the environment says stands.
_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    # A temporary server migrates an empty database first: 17 s on an idle machine, more on a busy one (default: 20).
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)

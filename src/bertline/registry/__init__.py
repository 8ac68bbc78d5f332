"""MLflow: tracking, registered models, promotion. The only room that imports it.

MLflow reads its switches when it is imported, so they are set here, before any module of the room imports it.
What the user has set stands.
"""

import os

_SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # the first use of a store logs every schema migration
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # a uv.lock in the working directory would replace our requirements
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # an unreachable server is said within half a minute, not four
    "GIT_PYTHON_REFRESH": "quiet",
}

for _name, _value in _SWITCHES.items():
    os.environ.setdefault(_name, _value)

#!/usr/bin/env bash
# What promote.yml does: reads ACTION, MODEL, VERSION and MLFLOW_TRACKING_URI, and moves the champion.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"
: "${MLFLOW_TRACKING_URI:?set the secret of environment production: without it there is no registry to change}"

case "$ACTION" in
  promote) exec bertline promote "--version=${VERSION:-}" -- "$MODEL" ;;
  rollback) exec bertline rollback -- "$MODEL" ;;
  *) echo "promote: error: ACTION must be promote or rollback, found '$ACTION'" >&2; exit 1 ;;
esac

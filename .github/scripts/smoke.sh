#!/usr/bin/env bash
# What ci.yml's job smoke does, a step an argument: run (preset smoke, from text to registered models), again (nothing
# may run), serve (`make ui` comes up with its flows, and ends). SMOKE_PORT: of that server; the next one is the pages'.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"

fail() {
  echo "smoke: error: $1" >&2
  exit 1
}

case "${1:-}" in
  run)
    git diff --quiet HEAD -- params.yaml || fail "params.yaml has edits that are not committed"
    bertline preset use smoke --force
    dvc repro
    ;;
  again)
    said="$(dvc repro)"
    ran="$(sed -n "s/^Running stage '\(.*\)':$/\1/p" <<< "$said" | paste -s -d ' ')"
    [ -z "$ran" ] || fail "the second run ran: $ran"
    echo "$said" | tail -n 1
    ;;
  serve)
    port="${SMOKE_PORT:-4200}"
    PREFECT_HOME="$(mktemp -d)"
    export PREFECT_HOME
    unset PREFECT_API_URL
    python -m pipelines.serve --port "$port" --pages-port "$((port + 1))" &
    serving=$!
    trap 'kill "$serving" 2> /dev/null || true; wait "$serving" || true; rm -rf "$PREFECT_HOME"' EXIT
    for flow in retrain sweep promote rollback; do
      address="http://127.0.0.1:$port/api/deployments/name/$flow/local"
      until curl --silent --fail --output /dev/null "$address"; do
        kill -0 "$serving" 2> /dev/null || fail "the server has ended"
        [ "$SECONDS" -lt 300 ] || fail "$address does not answer"
        sleep 1
      done
      echo "$flow is offered"
    done
    ;;
  *) fail "say run, again or serve" ;;
esac

#!/usr/bin/env bash
# What retrain.yml does between set-up and the end, on any machine: needs a git remote `origin` and a DVC remote.
# Reads BERTLINE_PRESET, BERTLINE_OVERRIDES, BERTLINE_TARGETS, BRANCH; with GH_TOKEN it opens the pull request, for BASE.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"
: "${BRANCH:?name the branch to push, as retrain/mine}" # now: it is used once all is trained
token="${GH_TOKEN:-}"
unset GH_TOKEN # what trains has no use for a token that may write
[ -z "$token" ] || : "${BASE:?name the branch that the pull request is for, as main}"
body="${RUNNER_TEMP:-$(mktemp -d)}/pull-request.md"
base="$(git rev-parse HEAD)"

with_token() ( # in the environment of one command alone: the checkout was made without credentials, and none go to disk
  if [ -n "$token" ]; then
    export GH_TOKEN="$token" GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.https://github.com/.extraheader"
    GIT_CONFIG_VALUE_0="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$token" | base64 -w0)"
    export GIT_CONFIG_VALUE_0
  fi
  "$@"
)

with_token python -m pipelines.pull_request configure
name="$(dvc config core.remote)" # not `dvc remote list`, which breaks a long line in two
store="${name:+$(dvc config "remote.$name.url")}"
[[ -z "$store" || "$store" == *://* ]] || store="$(cd .dvc && realpath -m "$store")" # relative to the file that says it
if [ -z "$store" ]; then
  echo "retrain: warning: no DVC remote: all is trained anew, and nobody can pull it. dvc remote add --default NAME URL" >&2
elif [[ "$store" == /* && ! -d "$store" ]]; then
  # A first run's folder is not there yet; a disk that is not mounted looks the same, and dvc pull says neither.
  echo "retrain: warning: the DVC remote $store is a folder that is not on this machine: all is trained anew, then pushed" \
    "to it. Where the machine does not last, use one on a network: dvc remote modify $name url URL" >&2
else
  dvc pull --run-cache --allow-missing --force
fi
read -r -a targets <<< "${BERTLINE_TARGETS:-}"
status=0
python -m pipelines.flow ${targets[@]:+--targets "${targets[@]}"} || status=$?
[ -z "$store" ] || dvc push --run-cache # after a failure too: the next try, on another runner, has what was finished
[ "$status" = 0 ] || exit "$status"
dvc plots diff "$base" || echo "the plots could not be drawn; the run goes on" >&2

with_token python -m pipelines.pull_request propose "$BRANCH" "$body"
if [ -n "$token" ] && [ -f "$body" ]; then
  with_token gh pr create --base "$BASE" --head "$BRANCH" --title "Retrained models" --body-file "$body"
fi

#!/bin/sh
# Made by `costweir render`. Makes the teams of Costweir in Grafana and lets them see its boards; run it again at will.
# Wants GRAFANA_URL, and GRAFANA_TOKEN of a service account that may administer; needs curl.
set -eu
: "${GRAFANA_URL:?say where Grafana is, such as http://localhost:3000}"
: "${GRAFANA_TOKEN:?make a service account with the role Admin and put its token here}"

ask() {
    method="$1" path="$2"
    shift 2
    curl --silent --show-error --fail-with-body --max-time 20 --request "$method" \
        --header "Authorization: Bearer $GRAFANA_TOKEN" --header 'Content-Type: application/json' "$@" \
        "$GRAFANA_URL$path"
}

rules=''
for pair in finance:1 engineering:1 on-call:1; do
    team="${pair%%:*}"
    id="$(ask GET "/api/teams/search?name=$team" | sed -n 's/.*"id": *\([0-9][0-9]*\).*/\1/p' | head -n 1)"
    if [ -z "$id" ]; then
        id="$(ask POST /api/teams --data "{\"name\": \"$team\"}" | sed -n 's/.*"teamId": *\([0-9][0-9]*\).*/\1/p')"
    fi
    rules="$rules${rules:+, }{\"teamId\": $id, \"permission\": ${pair##*:}}"
done
# 1 is to view. Nobody edits: the boards are files.
ask POST /api/folders/costweir/permissions --data "{\"items\": [$rules]}"
echo

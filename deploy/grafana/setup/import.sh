#!/bin/sh
# Made by `costweir render`. Brings boards into a Grafana that is not provisioned from files, through its API:
# sh import.sh deploy/grafana/dashboards/*.json
# Wants GRAFANA_URL, and GRAFANA_TOKEN of a service account that may edit; needs curl.
set -eu
: "${GRAFANA_URL:?say where Grafana is, such as http://localhost:3000}"
: "${GRAFANA_TOKEN:?make a service account with the role Editor and put its token here}"
for file in "$@"; do
    { printf '{"folderUid": "costweir", "overwrite": true, "message": "costweir render", "dashboard": '
      cat "$file"
      printf '}'; } |
        curl --silent --show-error --fail-with-body --max-time 30 --request POST --data-binary @- \
            --header "Authorization: Bearer $GRAFANA_TOKEN" --header 'Content-Type: application/json' \
            "$GRAFANA_URL/api/dashboards/db"
    echo
done

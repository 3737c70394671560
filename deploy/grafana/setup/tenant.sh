#!/bin/sh
# Made by `costweir render`. Prepares Grafana for one tenant: an organisation of its own, and a token for Costweir's API
# that sees this customer and nobody else. A data source cannot be kept from the viewers of its organisation, so tenants
# never share one. Run it where `costweir` and curl are: sh tenant.sh CUSTOMER TOKEN_FILE
# Wants GRAFANA_URL and GRAFANA_ADMIN as user:password of the server administrator.
set -eu
customer="${1:?name the customer}" file="${2:?name the file that the token goes to}"
: "${GRAFANA_URL:?say where Grafana is, such as http://localhost:3000}"
: "${GRAFANA_ADMIN:?user:password of the administrator}"

umask 077
costweir token create --scope read --customer "$customer" --name "grafana $customer" --json |
    sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' > "$file"
[ -s "$file" ] || { echo "No token was made." >&2; exit 1; }
organisation="$(curl --silent --show-error --fail-with-body --max-time 20 --user "$GRAFANA_ADMIN" \
    --header 'Content-Type: application/json' --data "{\"name\": \"$customer\"}" "$GRAFANA_URL/api/orgs" |
    sed -n 's/.*"orgId": *\([0-9][0-9]*\).*/\1/p')"
echo "TENANT=$(basename "$file")"
echo "TENANT_ORG_ID=$organisation"

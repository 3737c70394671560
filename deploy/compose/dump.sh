#!/bin/sh
# Made by `costweir render`. Dumps every database once a day into $DUMPS, and keeps the last $KEEP dumps of each.
# A dump is written under another name first, so that half a dump never looks like one.
set -eu
umask 077
PGPASSWORD="$(cat /run/secrets/postgres_password)"
export PGPASSWORD
while :; do
    day="$(date -u +%Y-%m-%dT%H%M%SZ)"
    for name in $(psql -d costweir -Atc "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"); do
        pg_dump --format=custom --file="$DUMPS/.part" "$name"
        pg_restore --list "$DUMPS/.part" > /dev/null
        mv "$DUMPS/.part" "$DUMPS/$name-$day.dump"
        # shellcheck disable=SC2012 # the names are ours and sort by time
        ls -1 "$DUMPS/$name"-*.dump | sort -r | tail -n +"$((KEEP + 1))" | xargs -r rm --
    done
    echo "{\"severity\":\"INFO\",\"event\":\"backup\",\"message\":\"dumped PostgreSQL\",\"day\":\"$day\"}"
    sleep 86400 &
    wait $!
done

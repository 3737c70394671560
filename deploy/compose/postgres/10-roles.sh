#!/bin/sh
# Made by `costweir render`. PostgreSQL runs this once, when its volume is empty: the extension, a role that may only
# read, for Grafana and the exporter, and the database of Langfuse.
set -eu
reader="$(cat /run/secrets/postgres_reader_password)"
langfuse="$(cat /run/secrets/langfuse_db_password)"
psql --set ON_ERROR_STOP=1 --set reader="$reader" --set langfuse="$langfuse" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE ROLE costweir_reader LOGIN PASSWORD :'reader' IN ROLE pg_monitor, pg_read_all_data
    CONNECTION LIMIT 20;
ALTER ROLE costweir_reader SET default_transaction_read_only = on;
ALTER ROLE costweir_reader SET statement_timeout = '30s';
CREATE ROLE langfuse LOGIN PASSWORD :'langfuse' CONNECTION LIMIT 40;
CREATE DATABASE langfuse OWNER langfuse;
REVOKE CONNECT ON DATABASE langfuse FROM PUBLIC;
SQL

-- Made by `costweir render`. Row-level security for tenants that read PostgreSQL themselves. Run it as the owner of the
-- tables, and again after every upgrade of Costweir, because an upgrade may make the views anew:
--   psql "$URL" --set ON_ERROR_STOP=1 --file tenants.sql
--   CREATE ROLE acme_boards LOGIN PASSWORD '...' IN ROLE costweir_tenant;
--   INSERT INTO costweir_grafana.tenants VALUES ('acme_boards', 'acme');
-- A member of costweir_tenant that no row names sees nothing. Everybody else sees what they were granted, as before.
BEGIN;

CREATE SCHEMA IF NOT EXISTS costweir_grafana;
CREATE TABLE IF NOT EXISTS costweir_grafana.tenants (role_name TEXT PRIMARY KEY, customer TEXT NOT NULL);

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'costweir_tenant') THEN
    CREATE ROLE costweir_tenant NOLOGIN;
  END IF;
END $$;
ALTER ROLE costweir_tenant SET default_transaction_read_only = on;
REVOKE ALL ON costweir_grafana.tenants FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- The login counts, not the role that it takes on.
CREATE OR REPLACE FUNCTION costweir_grafana.tenant() RETURNS TEXT
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ SELECT t.customer FROM costweir_grafana.tenants AS t WHERE t.role_name = session_user $$;
CREATE OR REPLACE FUNCTION costweir_grafana.everybody() RETURNS BOOLEAN
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ SELECT NOT pg_has_role(session_user, 'costweir_tenant', 'MEMBER') $$;
GRANT USAGE ON SCHEMA costweir_grafana TO PUBLIC;

DO $$
DECLARE
  rule RECORD;
BEGIN
  FOR rule IN SELECT * FROM (VALUES
    ('charges', 'x_customer = (SELECT costweir_grafana.tenant())'),
    ('charges_daily', 'x_customer = (SELECT costweir_grafana.tenant())'),
    ('calls', 'customer = (SELECT costweir_grafana.tenant())'),
    ('call_adjustments',
      'EXISTS (SELECT 1 FROM calls AS k WHERE k.call_id = call_adjustments.call_id)'),
    ('customers', 'id = (SELECT costweir_grafana.tenant())'),
    ('customer_approved_models', 'customer_id = (SELECT costweir_grafana.tenant())')
  ) AS r (table_name, mine) LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', rule.table_name);
    EXECUTE format('DROP POLICY IF EXISTS costweir_rows ON %I', rule.table_name);
    EXECUTE format(
      'CREATE POLICY costweir_rows ON %I USING ((SELECT costweir_grafana.everybody()) OR (%s))',
      rule.table_name, rule.mine
    );
    EXECUTE format('GRANT SELECT ON %I TO costweir_tenant', rule.table_name);
  END LOOP;
  -- a view reads with the rights of its owner unless it is told otherwise
  FOR rule IN SELECT unnest(ARRAY['charges_facts', 'calls_adjusted', 'calls_facts', 'adjustments_facts']) AS view_name LOOP
    EXECUTE format('ALTER VIEW %I SET (security_invoker = true)', rule.view_name);
    EXECUTE format('GRANT SELECT ON %I TO costweir_tenant', rule.view_name);
  END LOOP;
END $$;

COMMIT;

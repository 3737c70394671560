-- What a later read of the same bill changed, as visible adjustments (law L6). Written inside every replace, and only
-- where the sum of a day, model, category and currency differs.

CREATE TABLE restatements (
  x_run_id           TEXT NOT NULL,
  x_replaced_run_id  TEXT NOT NULL,
  x_provider         TEXT NOT NULL,
  x_source           TEXT NOT NULL,
  x_account          TEXT NOT NULL,
  x_period           TEXT NOT NULL,
  usage_date         DATE NOT NULL,
  usage_month        TEXT NOT NULL,
  x_model            TEXT NOT NULL,
  charge_category    TEXT NOT NULL,
  billing_currency   TEXT NOT NULL,
  x_has_usd          BOOLEAN NOT NULL,
  x_change           TEXT NOT NULL,
  billed_before      DECIMAL(38,18) NOT NULL,
  billed_after       DECIMAL(38,18) NOT NULL,
  usd_before         DECIMAL(38,18) NOT NULL,
  usd_after          DECIMAL(38,18) NOT NULL,
  restated_at        TIMESTAMP NOT NULL,
  restated_on        DATE NOT NULL
);

COMMENT ON COLUMN restatements.x_change IS 'restated, or new day where the replaced load ended before it';

CREATE VIEW restatements_facts AS
SELECT
  r.*,
  r.billed_after - r.billed_before AS billed_cost,
  r.usd_after - r.usd_before AS x_billed_usd,
  1 AS line_count
FROM restatements AS r;

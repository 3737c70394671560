-- What the meaning of a line was read from, so that a stored line can be given another meaning; what a change of
-- meaning did, beside what a later read did; and the prices that calls got later. What is stored already takes the
-- strings of the bill for what its meaning was read from, which is exact once the bill is loaded again.

DROP VIEW charges_facts;

ALTER TABLE charges ADD COLUMN x_line_service TEXT;
ALTER TABLE charges ADD COLUMN x_line_text TEXT;
ALTER TABLE charges ADD COLUMN x_line_unit TEXT;
ALTER TABLE charges ADD COLUMN x_line_facts TEXT;
ALTER TABLE charges ADD COLUMN x_line_quantity DECIMAL(38,12);
ALTER TABLE charges ADD COLUMN x_consumed_quantity DECIMAL(38,12);
ALTER TABLE charges ADD COLUMN x_consumed_unit TEXT;

UPDATE charges SET
  x_line_service = service_name,
  x_line_text = COALESCE(x_usage_type, charge_description),
  x_line_unit = pricing_unit,
  x_line_quantity = pricing_quantity,
  x_consumed_quantity = consumed_quantity,
  x_consumed_unit = consumed_unit;

CREATE VIEW charges_facts AS
SELECT
  c.*,
  (c.x_billed_usd IS NOT NULL AND c.x_effective_usd IS NOT NULL) AS x_has_usd,
  (c.x_tokens IS NOT NULL) AS x_has_tokens,
  1 AS line_count,
  CASE WHEN c.list_cost IS NULL THEN 1 ELSE 0 END AS without_list,
  CASE WHEN c.contracted_cost IS NULL THEN 1 ELSE 0 END AS without_contracted
FROM charges AS c;

COMMENT ON COLUMN charges.x_line_service IS 'the service that the meaning was read from';
COMMENT ON COLUMN charges.x_line_text IS 'the text that the meaning was read from';
COMMENT ON COLUMN charges.x_line_unit IS 'the unit that the meaning was read from';
COMMENT ON COLUMN charges.x_line_facts IS 'what the bill itself says about the model, where it does';
COMMENT ON COLUMN charges.x_line_quantity IS 'how many of x_line_unit';
COMMENT ON COLUMN charges.x_consumed_quantity IS 'consumed_quantity as the bill says it, before tokens';
COMMENT ON COLUMN charges.x_consumed_unit IS 'consumed_unit as the bill says it';

ALTER TABLE loads ADD COLUMN x_remap_run_id TEXT;

COMMENT ON COLUMN loads.x_remap_run_id IS 'the newest change of meaning since the load';

-- A change of meaning moves money between models and token classes and leaves every total as it was.
DROP VIEW restatements_facts;

ALTER TABLE restatements ADD COLUMN x_token_class TEXT;
ALTER TABLE restatements ADD COLUMN tokens_before DECIMAL(38,12);
ALTER TABLE restatements ADD COLUMN tokens_after DECIMAL(38,12);

UPDATE restatements SET x_token_class = 'unknown', tokens_before = 0, tokens_after = 0;

COMMENT ON COLUMN restatements.x_change IS 'restated, new day where the replaced load ended before it, or remapped';
COMMENT ON COLUMN restatements.x_token_class IS 'unknown in rows from before token classes were told apart';

CREATE VIEW restatements_facts AS
SELECT
  r.*,
  r.billed_after - r.billed_before AS billed_cost,
  r.usd_after - r.usd_before AS x_billed_usd,
  r.tokens_after - r.tokens_before AS x_tokens,
  1 AS line_count
FROM restatements AS r;

-- A call that was priced later, or whose price was corrected. The call stays as it was; the newest step counts.
CREATE TABLE call_adjustments (
  call_id              TEXT NOT NULL,
  step                 BIGINT NOT NULL,
  run_id               TEXT NOT NULL,
  reason               TEXT NOT NULL,
  usd_before           DECIMAL(38,18),
  usd_after            DECIMAL(38,18) NOT NULL,
  price_version_before TEXT,
  price_version_after  TEXT NOT NULL,
  adjusted_by          TEXT NOT NULL,
  adjusted_at          TIMESTAMP NOT NULL,
  adjusted_on          DATE NOT NULL
);

COMMENT ON COLUMN call_adjustments.step IS 'the first adjustment of a call is 1';
COMMENT ON COLUMN call_adjustments.reason IS 'priced where the call had no price, else corrected';
COMMENT ON COLUMN call_adjustments.usd_before IS 'empty while the call was unpriced';

CREATE VIEW calls_adjusted AS
SELECT a.call_id, a.step, a.usd_after, a.price_version_after
FROM call_adjustments AS a
JOIN (SELECT b.call_id AS last_call, MAX(b.step) AS last_step FROM call_adjustments AS b GROUP BY b.call_id) AS l
  ON l.last_call = a.call_id AND l.last_step = a.step;

CREATE OR REPLACE VIEW calls_facts AS
SELECT
  k.call_id,
  k.request_id,
  k.started_at,
  k.ended_at,
  k.usage_date,
  k.usage_month,
  k.usage_hour,
  k.iso_dow,
  k.provider AS x_provider,
  COALESCE(k.service, k.provider) AS service_name,
  k.model AS x_model,
  k.customer AS x_customer,
  k.project AS x_project,
  k.feature AS x_feature,
  k.session_id AS x_session,
  k.key_id AS x_key,
  COALESCE(k.plan_tier, 'untagged') AS x_plan,
  COALESCE(k.environment, 'unknown') AS x_environment,
  COALESCE(k.query_type, 'unknown') AS x_query_type,
  k.outcome AS x_outcome,
  k.operation AS x_operation,
  k.region AS x_region,
  k.duration_ms AS x_duration_ms,
  k.metadata AS x_metadata,
  'USD' AS billing_currency,
  (a.usd_after IS NOT NULL OR k.settled_usd IS NOT NULL) AS x_has_usd,
  COALESCE(a.usd_after, k.settled_usd) AS x_metered_usd,
  COALESCE(a.usd_after, k.settled_usd) AS metered_cost,
  1 AS line_count,
  COALESCE(k.uncached_input_tokens, 0) + COALESCE(k.cache_read_tokens, 0) + COALESCE(k.cache_write_5m_tokens, 0)
    + COALESCE(k.cache_write_1h_tokens, 0) + COALESCE(k.audio_input_tokens, 0) + COALESCE(k.image_input_tokens, 0)
    AS x_input_tokens,
  COALESCE(k.text_output_tokens, 0) + COALESCE(k.reasoning_tokens, 0) + COALESCE(k.audio_output_tokens, 0)
    + COALESCE(k.image_output_tokens, 0) AS x_output_tokens,
  COALESCE(k.uncached_input_tokens, 0) + COALESCE(k.cache_read_tokens, 0) + COALESCE(k.cache_write_5m_tokens, 0)
    + COALESCE(k.cache_write_1h_tokens, 0) + COALESCE(k.audio_input_tokens, 0) + COALESCE(k.image_input_tokens, 0)
    + COALESCE(k.text_output_tokens, 0) + COALESCE(k.reasoning_tokens, 0) + COALESCE(k.audio_output_tokens, 0)
    + COALESCE(k.image_output_tokens, 0) AS x_tokens,
  COALESCE(a.price_version_after, k.price_version, '') AS x_price_version,
  COALESCE(a.step, 0) AS x_adjustments
FROM calls AS k
LEFT JOIN calls_adjusted AS a ON a.call_id = k.call_id;

CREATE VIEW adjustments_facts AS
SELECT
  f.call_id,
  f.usage_date,
  f.usage_month,
  f.usage_hour,
  f.iso_dow,
  f.x_provider,
  f.service_name,
  f.x_model,
  f.x_customer,
  f.x_project,
  f.x_feature,
  f.x_session,
  f.x_key,
  f.x_plan,
  f.x_environment,
  f.x_query_type,
  f.x_outcome,
  a.step,
  a.run_id AS x_run_id,
  a.reason AS x_change,
  a.adjusted_by,
  a.adjusted_on AS restated_on,
  'USD' AS billing_currency,
  (1 = 1) AS x_has_usd,
  a.usd_before,
  a.usd_after,
  a.usd_after - COALESCE(a.usd_before, 0) AS x_metered_usd,
  a.usd_after - COALESCE(a.usd_before, 0) AS metered_cost,
  CASE WHEN a.usd_before IS NULL THEN 1 ELSE 0 END AS newly_priced,
  1 AS line_count
FROM call_adjustments AS a
JOIN calls_facts AS f ON f.call_id = a.call_id;

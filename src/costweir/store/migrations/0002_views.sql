-- The views that outsiders' dashboards name, and the two that give every basis the same column names.

CREATE VIEW charges_facts AS
SELECT
  c.*,
  (c.x_billed_usd IS NOT NULL AND c.x_effective_usd IS NOT NULL) AS x_has_usd,
  (c.x_tokens IS NOT NULL) AS x_has_tokens,
  1 AS line_count,
  CASE WHEN c.list_cost IS NULL THEN 1 ELSE 0 END AS without_list,
  CASE WHEN c.contracted_cost IS NULL THEN 1 ELSE 0 END AS without_contracted
FROM charges AS c;

CREATE VIEW calls_facts AS
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
  (k.settled_usd IS NOT NULL) AS x_has_usd,
  k.settled_usd AS x_metered_usd,
  k.settled_usd AS metered_cost,
  1 AS line_count,
  COALESCE(k.uncached_input_tokens, 0) + COALESCE(k.cache_read_tokens, 0) + COALESCE(k.cache_write_5m_tokens, 0)
    + COALESCE(k.cache_write_1h_tokens, 0) + COALESCE(k.audio_input_tokens, 0) + COALESCE(k.image_input_tokens, 0)
    AS x_input_tokens,
  COALESCE(k.text_output_tokens, 0) + COALESCE(k.reasoning_tokens, 0) + COALESCE(k.audio_output_tokens, 0)
    + COALESCE(k.image_output_tokens, 0) AS x_output_tokens,
  COALESCE(k.uncached_input_tokens, 0) + COALESCE(k.cache_read_tokens, 0) + COALESCE(k.cache_write_5m_tokens, 0)
    + COALESCE(k.cache_write_1h_tokens, 0) + COALESCE(k.audio_input_tokens, 0) + COALESCE(k.image_input_tokens, 0)
    + COALESCE(k.text_output_tokens, 0) + COALESCE(k.reasoning_tokens, 0) + COALESCE(k.audio_output_tokens, 0)
    + COALESCE(k.image_output_tokens, 0) AS x_tokens
FROM calls AS k;

CREATE VIEW unified_costs AS
SELECT
  c.usage_date AS date,
  c.x_provider AS cloud_provider,
  c.service_name AS service,
  COALESCE(c.charge_description, c.x_usage_type, c.sku_meter) AS sku_description,
  c.x_model AS model,
  c.x_token_class AS token_type,
  COALESCE(c.consumed_quantity, c.pricing_quantity) AS usage_amount,
  COALESCE(c.consumed_unit, c.pricing_unit) AS usage_unit,
  c.x_billed_usd AS cost_usd,
  c.x_customer AS customer_id,
  c.x_project AS project_id
FROM charges AS c
WHERE c.x_is_ai = TRUE;

CREATE VIEW gcp_llm_costs AS
SELECT u.* FROM unified_costs AS u WHERE u.cloud_provider = 'gcp';

CREATE VIEW aws_llm_costs AS
SELECT u.* FROM unified_costs AS u WHERE u.cloud_provider = 'aws';

CREATE VIEW azure_llm_costs AS
SELECT u.* FROM unified_costs AS u WHERE u.cloud_provider = 'azure';

CREATE VIEW llm_consumption AS
SELECT
  f.started_at AS timestamp,
  f.x_provider AS cloud_provider,
  f.service_name AS service,
  f.x_model AS model,
  f.x_operation AS operation,
  f.x_input_tokens AS input_tokens,
  f.x_output_tokens AS output_tokens,
  f.x_tokens AS total_tokens,
  1 AS request_count,
  f.metered_cost AS cost_usd,
  CASE
    WHEN f.x_tokens > 0
    THEN CAST(CAST(f.metered_cost AS DOUBLE PRECISION) * 1000 / CAST(f.x_tokens AS DOUBLE PRECISION) AS DECIMAL(38,12))
  END AS cost_per_1k_tokens,
  f.x_customer AS customer_id,
  f.x_project AS project_id,
  f.x_feature AS feature_name,
  f.x_region AS region,
  f.x_duration_ms AS response_time_ms,
  f.x_metadata AS metadata
FROM calls_facts AS f;

CREATE VIEW llm_consumption_daily AS
SELECT
  f.usage_date AS day,
  f.x_provider AS cloud_provider,
  f.x_model AS model,
  f.x_customer AS customer_id,
  SUM(f.x_input_tokens) AS input_tokens,
  SUM(f.x_output_tokens) AS output_tokens,
  SUM(f.x_tokens) AS total_tokens,
  SUM(f.metered_cost) AS cost_usd,
  SUM(f.line_count) AS request_count
FROM calls_facts AS f
GROUP BY f.usage_date, f.x_provider, f.x_model, f.x_customer;

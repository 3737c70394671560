-- From which day on lines and calls are kept, once older ones were let go by age, and what calls that were let go come
-- to by day. The roll-up of charges is never let go, so totals stand still (law L6).

CREATE TABLE kept (
  table_name TEXT NOT NULL,
  kept_from  DATE NOT NULL,
  kept_at    TIMESTAMP NOT NULL
);

COMMENT ON COLUMN kept.kept_from IS 'the first day whose rows are all there';

CREATE TABLE calls_daily (
  usage_date     DATE NOT NULL,
  usage_month    TEXT NOT NULL,
  x_provider     TEXT NOT NULL,
  x_model        TEXT NOT NULL,
  x_customer     TEXT NOT NULL,
  x_project      TEXT NOT NULL,
  x_feature      TEXT NOT NULL,
  x_outcome      TEXT NOT NULL,
  line_count     BIGINT NOT NULL,
  without_usd    BIGINT NOT NULL,
  x_input_tokens BIGINT NOT NULL,
  x_output_tokens BIGINT NOT NULL,
  x_tokens       BIGINT NOT NULL,
  metered_cost   DECIMAL(38,18)
);

COMMENT ON COLUMN calls_daily.metered_cost IS 'with the later prices that the calls had when they were let go';

DROP VIEW llm_consumption_daily;

CREATE VIEW llm_consumption_daily AS
SELECT
  d.day,
  d.cloud_provider,
  d.model,
  d.customer_id,
  SUM(d.input_tokens) AS input_tokens,
  SUM(d.output_tokens) AS output_tokens,
  SUM(d.total_tokens) AS total_tokens,
  SUM(d.cost_usd) AS cost_usd,
  SUM(d.request_count) AS request_count
FROM (
  SELECT
    f.usage_date AS day, f.x_provider AS cloud_provider, f.x_model AS model, f.x_customer AS customer_id,
    f.x_input_tokens AS input_tokens, f.x_output_tokens AS output_tokens, f.x_tokens AS total_tokens,
    f.metered_cost AS cost_usd, f.line_count AS request_count
  FROM calls_facts AS f
  UNION ALL
  SELECT
    o.usage_date, o.x_provider, o.x_model, o.x_customer, o.x_input_tokens, o.x_output_tokens, o.x_tokens,
    o.metered_cost, o.line_count
  FROM calls_daily AS o
) AS d
GROUP BY d.day, d.cloud_provider, d.model, d.customer_id;

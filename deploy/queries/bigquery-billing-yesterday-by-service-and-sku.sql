-- Yesterday's cost of AI services by service and SKU, credits taken off, from the billing export to BigQuery.
-- Put the name of your export into FROM. Yesterday is rarely whole: lines come for days, so a month is better read later.
SELECT
  service.description AS service,
  sku.description AS sku,
  currency,
  SUM(CAST(cost AS NUMERIC))
    + SUM(IFNULL((SELECT SUM(CAST(c.amount AS NUMERIC)) FROM UNNEST(credits) AS c), 0)) AS net_cost,
  MAX(export_time) AS exported_until
FROM `PROJECT.billing.gcp_billing_export_v1_XXXXXX_XXXXXX_XXXXXX`
WHERE DATE(usage_start_time) = DATE_SUB(CURRENT_DATE(), INTERVAL 1 DAY)
  AND DATE(_PARTITIONTIME) >= DATE_SUB(CURRENT_DATE(), INTERVAL 3 DAY)
  AND (
    service.id = 'C7E2-9256-1C43'
    OR REGEXP_CONTAINS(LOWER(service.description), r'vertex ai|gemini|generative language|agent platform|document ai|claude|anthropic|mistral|llama')
  )
GROUP BY service, sku, currency
ORDER BY net_cost DESC

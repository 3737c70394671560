-- ---
-- id: charges
-- title: The largest lines of the bill as they stand in it
-- basis: [billed, effective, list, contracted]
-- by: [day, provider, account, service, model, token_class, customer, project, feature]
-- dimensions: billed
-- needs: charges
-- limit: 100
-- measures: {sku_text: text, quantity: quantity, pricing_unit: text, tokens: quantity, charge_category: text,
--   native_cost: money, native_currency: text, mapping_rule: text, customer_rule: text, resource: text,
--   source: text, file: text, run_id: text}
-- answers: [RPT-03, DSH-31]
-- notes: One row is one line; the rest of the lines is in other.
-- ---
SELECT
  {dims}
  COALESCE(f.{cost}, 0) AS m_cost,
  COALESCE(f.charge_description, f.x_usage_type, f.sku_meter) AS m_sku_text,
  f.pricing_quantity AS m_quantity,
  f.pricing_unit AS m_pricing_unit,
  f.x_tokens AS m_tokens,
  f.charge_category AS m_charge_category,
  f.billed_cost AS m_native_cost,
  f.billing_currency AS m_native_currency,
  f.x_mapping_rule AS m_mapping_rule,
  f.x_customer_rule AS m_customer_rule,
  f.resource_id AS m_resource,
  f.x_source AS m_source,
  f.x_file AS m_file,
  f.x_run_id AS m_run_id
FROM {facts}
WHERE {where}
{lines}

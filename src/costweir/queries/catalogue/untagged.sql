-- ---
-- id: untagged
-- title: How much nobody is named for
-- basis: [billed, effective, list, contracted]
-- by: [provider]
-- dimensions: [provider, service, model, token_class, day, month, source, account, category, sub_account, region]
-- needs: rollup
-- measures: {untagged_customer_cost: money, untagged_project_cost: money, untagged_feature_cost: money, lines: int,
--   untagged_customer_lines: int}
-- ratios:
--   untagged_customer_share: {of: untagged_customer_cost, per: cost}
--   untagged_project_share: {of: untagged_project_cost, per: cost}
--   untagged_feature_share: {of: untagged_feature_cost, per: cost}
-- answers: [RPT-13]
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(CASE WHEN f.x_customer = 'untagged' THEN f.{cost} ELSE 0 END), 0) AS m_untagged_customer_cost,
  COALESCE(SUM(CASE WHEN f.x_project = 'untagged' THEN f.{cost} ELSE 0 END), 0) AS m_untagged_project_cost,
  COALESCE(SUM(CASE WHEN f.x_feature = 'untagged' THEN f.{cost} ELSE 0 END), 0) AS m_untagged_feature_cost,
  COALESCE(SUM(f.line_count), 0) AS m_lines,
  COALESCE(SUM(CASE WHEN f.x_customer = 'untagged' THEN f.line_count ELSE 0 END), 0) AS m_untagged_customer_lines
FROM {facts}
WHERE {where}
{group}
{order}

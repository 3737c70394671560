-- ---
-- id: margin
-- title: Is each plan profitable
-- basis: [billed, effective, metered]
-- by: [plan]
-- dimensions: [plan, customer, month]
-- needs: rollup
-- measures: {revenue_usd: money, full_revenue_usd: money, margin_usd: money, paying_customers: int}
-- ratios:
--   margin_share: {of: margin_usd, per: revenue_usd}
--   cost_of_revenue: {of: cost, per: revenue_usd}
-- answers: [DSH-37, RPT-06, GAP-11]
-- notes: Revenue is the plan's price for every customer on it and every invoice month that is stored, or has calls where these are metered; of an open month, and of one asked for in part, it is the share of its days, and full_revenue_usd the whole price.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost
FROM {facts}
WHERE {where}
{group}
{order}

-- ---
-- id: reconcile
-- title: Does what was metered tie to what was billed
-- basis: [billed, effective]
-- by: [provider]
-- dimensions: [provider, service, model, customer, project, feature, day, month]
-- needs: rollup
-- measures: {metered_cost: money, remainder_cost: money, cause: text}
-- ratios:
--   remainder_share: {of: remainder_cost, per: cost}
-- answers: [RPT-03, CF-05]
-- notes: remainder_cost is billed minus metered; off-gateway is spend that no call through the gateway explains.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost
FROM {facts}
WHERE {where}
{group}
{order}

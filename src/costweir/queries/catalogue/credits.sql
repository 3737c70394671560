-- ---
-- id: credits
-- title: How much of the bill is usage, credit, tax, refund and fee
-- basis: [billed]
-- by: [category]
-- dimensions: [category, provider, service, model, customer, project, account, source, invoice_month, month, day, currency]
-- needs: rollup
-- measures: {credit_cost: money, before_credits_cost: money, lines: int}
-- ratios:
--   share: {of: cost, per: total}
-- answers: [GAP-02, RPT-03]
-- notes: credit_cost are credits inside usage lines, in the currency of the answer.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(f.{credit}), 0) AS m_credit_cost,
  COALESCE(SUM(f.{cost}), 0) - COALESCE(SUM(f.{credit}), 0) AS m_before_credits_cost,
  COALESCE(SUM(f.line_count), 0) AS m_lines
FROM {facts}
WHERE {where}
{group}
{order}

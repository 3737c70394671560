-- ---
-- id: sessions
-- title: What each session cost
-- basis: [metered]
-- by: [session]
-- dimensions: metered
-- needs: calls
-- measures: {calls: int, tokens: quantity, input_tokens: quantity, output_tokens: quantity}
-- ratios:
--   cost_per_call: {of: cost, per: calls}
--   share: {of: cost, per: total}
-- answers: [DSH-38, DSH-46, RPT-10]
-- notes: Sessions come from calls through the gateway; bills do not name them.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(f.line_count), 0) AS m_calls,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(f.x_input_tokens), 0) AS m_input_tokens,
  COALESCE(SUM(f.x_output_tokens), 0) AS m_output_tokens
FROM {facts}
WHERE {where}
{group}
{order}

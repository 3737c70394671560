-- Credits in US dollars. What is stored already is filled for bills in US dollars; other bills get it when they are
-- loaded again, because a rate cannot be taken from a line that a credit brought to zero.

DROP VIEW charges_facts;

ALTER TABLE charges ADD COLUMN x_credit_usd DECIMAL(38,18);

ALTER TABLE charges_daily ADD COLUMN x_credit_usd DECIMAL(38,18);

UPDATE charges SET x_credit_usd = x_credit_cost WHERE billing_currency = 'USD' AND x_credit_cost <> 0;

UPDATE charges_daily SET x_credit_usd = x_credit_cost WHERE billing_currency = 'USD' AND x_credit_cost <> 0;

CREATE VIEW charges_facts AS
SELECT
  c.*,
  (c.x_billed_usd IS NOT NULL AND c.x_effective_usd IS NOT NULL) AS x_has_usd,
  (c.x_tokens IS NOT NULL) AS x_has_tokens,
  1 AS line_count,
  CASE WHEN c.list_cost IS NULL THEN 1 ELSE 0 END AS without_list,
  CASE WHEN c.contracted_cost IS NULL THEN 1 ELSE 0 END AS without_contracted
FROM charges AS c;

COMMENT ON COLUMN charges.x_credit_usd IS 'x_credit_cost in USD';

-- Who pays what a month, from when to when.
SELECT
  c.id AS c_customer,
  c.plan AS c_plan,
  c.active_since AS c_since,
  c.active_until AS c_until,
  q.price_usd AS c_price
FROM customers AS c
LEFT JOIN plans AS q ON q.id = c.plan
ORDER BY c_customer

SELECT
-- @operation-columns
  ,
  o.record_topic,
  o.record_key,
  o.record_headers,
  o.record_value
FROM sluice.operation o
WHERE o.owes_dead_letter
ORDER BY o.id
LIMIT $1::int

-- `is_sent`: the log that died with its process had the record, or may have had it.
SELECT
-- @operation-columns
  ,
  o.max_attempts,
  o.published_offset IS NOT NULL OR o.maybe_sent AS is_sent
FROM sluice.operation o
WHERE o.retained_until IS NULL AND o.claimed_by IS DISTINCT FROM $1::text AND ($2::uuid IS NULL OR o.id > $2::uuid)
ORDER BY o.id
LIMIT $3::int

-- `is_sent`: the log that died with its process had the record, or may have had it. So may it where only a claim is written:
-- that log takes a record at once, and that it did is written a moment later.
SELECT
-- @operation-columns
  ,
  o.max_attempts,
  o.published_offset IS NOT NULL OR o.maybe_sent OR o.claimed_by IS NOT NULL AS is_sent
FROM sluice.operation o
WHERE o.retained_until IS NULL AND o.claimed_by IS DISTINCT FROM $1::text AND ($2::uuid IS NULL OR o.id > $2::uuid)
ORDER BY o.id
LIMIT $3::int

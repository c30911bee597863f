SELECT
-- @outbox-columns
FROM sluice.operation o
WHERE o.id = ANY ($2::uuid[]) AND o.claimed_by = $1::text AND o.published_offset IS NULL AND o.retained_until IS NULL
ORDER BY o.id

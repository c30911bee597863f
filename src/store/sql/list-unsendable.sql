-- Not those of a dead claimer: he may have sent them, so a reply may be on its way.
SELECT
-- @operation-columns
FROM sluice.operation o
WHERE o.retained_until IS NULL AND o.published_offset IS NULL AND o.claimed_by IS NULL AND NOT o.maybe_sent
  AND o.deadline <= (SELECT sluice.sluice_now())
ORDER BY o.id
LIMIT $1::int

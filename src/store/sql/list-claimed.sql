-- By the last event, for a row is as fresh after a re-drive as after its insert.
SELECT o.id
FROM sluice.operation o
WHERE o.claimed_by = $1::text AND o.published_offset IS NULL AND o.retained_until IS NULL
  AND o.updated_at <= (SELECT sluice.sluice_now()) - $2::float8 * interval '1 millisecond'
ORDER BY o.id
LIMIT $3::int

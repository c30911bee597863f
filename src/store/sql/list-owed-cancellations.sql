SELECT
-- @operation-columns
FROM sluice.operation o
WHERE o.owes_cancellation AND o.updated_at <= (SELECT sluice.sluice_now()) - $1::float8 * interval '1 millisecond'
ORDER BY o.id
LIMIT $2::int

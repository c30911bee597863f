SELECT
-- @operation-columns
FROM sluice.operation o
WHERE o.id IN (
-- @unreconciled-ids
)
ORDER BY o.id DESC
LIMIT $2::int

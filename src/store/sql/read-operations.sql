SELECT
-- @operation-columns
FROM sluice.operation o
WHERE o.id = ANY ($1::uuid[])

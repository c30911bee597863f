SELECT
-- @operation-columns
FROM sluice.operation o
WHERE ($1::text IS NULL OR o.principal = $1::text)
  AND ($2::text IS NULL OR o.command = $2::text)
  AND ($3::text IS NULL OR o.state = $3::text)
  AND ($4::uuid IS NULL OR o.id < $4::uuid)
ORDER BY o.id DESC
LIMIT $5::int

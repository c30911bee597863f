-- What is there under the ids of an insert that found them taken.
SELECT
-- @operation-columns
  ,
  o.claimed_by,
  o.published_offset
FROM sluice.operation o
WHERE o.id = ANY ($1::uuid[])

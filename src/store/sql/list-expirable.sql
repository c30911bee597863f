-- Past the given moment, and sent for all that is known: on the log, perhaps on it, or in the hands of one who died. Who
-- lives and has the command in his hands may know that it was never sent; he is given half a minute to say so. What nobody
-- has claimed and nobody can have sent is not listed.
SELECT
-- @operation-columns
FROM sluice.operation o
WHERE o.retained_until IS NULL AND o.deadline <= to_timestamp($1::float8 / 1000)
  AND (
    o.published_offset IS NOT NULL
    OR o.maybe_sent
    OR (o.claimed_by IS NOT NULL AND (
      o.deadline <= to_timestamp($1::float8 / 1000) - interval '30 seconds'
      OR o.claimed_by NOT IN (SELECT boot_id FROM sluice.instance WHERE until > sluice.sluice_now())
    ))
  )
ORDER BY o.deadline
LIMIT $2::int

-- Locks the lease where there is one ($3 its topic, not null) and then the rows in id order, and says which replies at the
-- offsets at hand ($2) each has taken already. No row is locked where the lease was taken over or its position is not what
-- the caller believes (`held`); there is always a row that says so. The lease takes the lock that moving it will take.
-- What is taken already is seen as of the statement's start: where another transaction was waited for, the unique index on
-- reply positions has the last word. A row that has only been accepted (version 1) has taken none, which spares the look;
-- the look is by operation, for a plan over the events of a whole topic costs the more the longer the history is.
WITH lease AS MATERIALIZED (
  SELECT partition FROM sluice.lease
  WHERE topic = $3::text AND partition = $4::int AND fence = $5::int8 AND next_offset = $6::int8
  FOR NO KEY UPDATE
), locked AS MATERIALIZED (
  SELECT
-- @operation-columns
    ,
    o.maybe_sent,
    o.claimed_by
  FROM sluice.operation o
  WHERE o.id = ANY ($1::uuid[]) AND ($3::text IS NULL OR EXISTS (SELECT FROM lease))
  ORDER BY o.id
  FOR NO KEY UPDATE
)
SELECT h.held, l.*, CASE WHEN l.version > 1 AND cardinality($2::int8[]) > 0 THEN ARRAY(
  SELECT e.reply_topic || ':' || e.reply_partition || ':' || e.reply_offset
  FROM sluice.operation_event e
  WHERE e.operation_id = l.id AND e.reply_offset = ANY ($2::int8[])
) END AS known_positions
FROM (SELECT $3::text IS NULL OR EXISTS (SELECT FROM lease) AS held) h
LEFT JOIN locked l ON true

-- Locks rows in id order, and says which of the replies at hand ($2 ids, $3 topics, $4 partitions, $5 offsets) each has
-- taken already. That second half is seen as of the statement's start: where another transaction was waited for, the
-- unique index on reply positions has the last word.
WITH known AS MATERIALIZED (
  SELECT e.operation_id, array_agg(e.reply_topic || ':' || e.reply_partition || ':' || e.reply_offset) AS positions
  FROM unnest($2::uuid[], $3::text[], $4::int[], $5::int8[]) AS p(operation_id, topic, partition, log_offset)
  JOIN sluice.operation_event e
    ON e.operation_id = p.operation_id AND e.reply_topic = p.topic
    AND e.reply_partition = p.partition AND e.reply_offset = p.log_offset
  WHERE e.reply_offset IS NOT NULL
  GROUP BY e.operation_id
), locked AS MATERIALIZED (
  SELECT
-- @operation-columns
  FROM sluice.operation o
  WHERE o.id = ANY ($1::uuid[])
  ORDER BY o.id
  FOR NO KEY UPDATE
)
SELECT l.*, k.positions AS known_positions
FROM locked l LEFT JOIN known k ON k.operation_id = l.id

SELECT
  e.operation_id, e.number, e.type, (extract(epoch FROM e.at) * 1000)::float8 AS at_ms, e.late, e.data, e.payload,
  e.reply_topic, e.reply_partition, e.reply_offset, o.command
FROM (
  SELECT * FROM sluice.operation_event WHERE owed ORDER BY operation_id, number LIMIT $1::int
) e
JOIN sluice.operation o ON o.id = e.operation_id
ORDER BY e.operation_id, e.number

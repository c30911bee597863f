SELECT
  e.operation_id, e.number, e.type, (extract(epoch FROM e.at) * 1000)::float8 AS at_ms, e.late, e.data, e.payload,
  e.reply_topic, e.reply_partition, e.reply_offset
FROM sluice.operation_event e
WHERE e.operation_id = ANY ($1::uuid[])
ORDER BY e.operation_id, e.number

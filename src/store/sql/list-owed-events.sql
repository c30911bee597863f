-- As many as $2 bytes hold, but one at least, each saying whether there are more behind it. Without the bytes of results: no
-- lifecycle event shows them.
SELECT
  e.operation_id, e.number, e.type, (extract(epoch FROM e.at) * 1000)::float8 AS at_ms, e.late, e.data,
  NULL::bytea AS payload, e.reply_topic, e.reply_partition, e.reply_offset, o.command, e.has_more
FROM (
  SELECT
    p.*,
    row_number() OVER up AS place,
    sum(512 + coalesce(octet_length(p.data), 0)) OVER up AS upto_bytes,
    lead(p.number) OVER up IS NOT NULL AS has_more
  FROM (
    SELECT * FROM sluice.operation_event WHERE owed ORDER BY operation_id, number LIMIT $1::int + 1
  ) p
  WINDOW up AS (ORDER BY p.operation_id, p.number)
) e
JOIN sluice.operation o ON o.id = e.operation_id
WHERE e.place = 1 OR (e.place <= $1::int AND e.upto_bytes <= $2::int8)
ORDER BY e.operation_id, e.number

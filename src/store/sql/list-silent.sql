-- Every sign of life that is no late one, and the broker's ack, moves `updated_at`. The first condition on time is the
-- index's, in its words.
SELECT o.id, o.record_topic, o.attempt, o.worker_group, o.published_partition, o.published_offset
FROM sluice.operation o
WHERE o.retained_until IS NULL AND o.redeliver_after_ms IS NOT NULL AND o.attempt < o.max_attempts
  AND ((o.created_at AT TIME ZONE 'UTC') + o.redeliver_after_ms * interval '1 millisecond')
    <= (to_timestamp($1::float8 / 1000) AT TIME ZONE 'UTC')
  AND o.updated_at + least(o.redeliver_after_ms * 2::float8 ^ (o.attempt - 1), 1e12) * interval '1 millisecond'
    <= to_timestamp($1::float8 / 1000)
  AND o.published_offset IS NOT NULL
  AND o.deadline > to_timestamp($1::float8 / 1000)
  AND ($3::uuid IS NULL OR o.id > $3::uuid)
ORDER BY o.id
LIMIT $2::int

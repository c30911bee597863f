-- Inserts operations with their first events. With a lease ($23 its topic, not null) only while that lease is held, and the
-- row is locked against a takeover (which takes FOR UPDATE) but not against settling (which moves its position).
WITH held AS MATERIALIZED (
  SELECT l.partition
  FROM sluice.lease l
  WHERE l.topic = $23::text AND l.partition = $24::int AND l.fence = $25::int8
    AND l.owner IS NOT NULL AND l.until > sluice.sluice_now()
  FOR KEY SHARE
), inserted AS (
  INSERT INTO sluice.operation (
    id, command, principal, state, version, created_at, updated_at, deadline, wait_until, progress_percent, progress_message,
    record_topic, record_key, record_headers, record_value, claimed_by, maybe_sent, published_partition, published_offset
  )
  SELECT
    n.id, n.command, n.principal, n.state, n.version,
    to_timestamp(n.created_at_ms / 1000), to_timestamp(n.created_at_ms / 1000), to_timestamp(n.deadline_ms / 1000),
    to_timestamp(n.wait_until_ms / 1000), n.progress_percent, n.progress_message,
    n.record_topic, n.record_key, n.record_headers, n.record_value, n.claimed_by, n.maybe_sent,
    n.published_partition, n.published_offset
  FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::float8[], $7::float8[], $8::float8[], $9::float8[], $10::text[],
    $11::text[], $12::bytea[], $13::bytea[], $14::bytea[], $15::text[], $16::bool[], $17::int[], $18::int8[]
  ) AS n(
    id, command, principal, state, version, created_at_ms, deadline_ms, wait_until_ms, progress_percent, progress_message,
    record_topic, record_key, record_headers, record_value, claimed_by, maybe_sent, published_partition, published_offset
  )
  WHERE $23::text IS NULL OR EXISTS (SELECT FROM held)
  ON CONFLICT DO NOTHING
  RETURNING id, created_at
), numbered AS (
  INSERT INTO sluice.operation_event (operation_id, number, type, at, late, data)
  SELECT i.id, e.number, e.type, i.created_at, false, e.data
  FROM unnest($19::uuid[], $20::int[], $21::text[], $22::text[]) AS e(operation_id, number, type, data)
  JOIN inserted i ON i.id = e.operation_id
)
SELECT EXISTS (SELECT FROM held) AS held, ARRAY(SELECT id::text FROM inserted) AS ids

-- Inserts operations with their first events, in the order given: of two batches with keys in common both meet them in the
-- same order, so none waits for the other in a circle. With a lease ($34 its topic, not null) only while that lease is held:
-- one that has run out and that nobody took still is, the fence says so. The row is locked against a takeover (which takes
-- FOR UPDATE) but not against settling (which moves its position). An ordered operation is unclaimed where an earlier one of
-- its topic and key is not published yet, or goes into the same batch ($27). What is equal in all rows comes once (see
-- sharedColumnOf). Ids are given back only where some of the $32 rows were not inserted.
WITH held AS MATERIALIZED (
  SELECT l.partition
  FROM sluice.lease l
  WHERE l.topic = $34::text AND l.partition = $35::int AND l.fence = $36::int8
    AND l.owner IS NOT NULL
  FOR KEY SHARE
), inserted AS (
  INSERT INTO sluice.operation (
    id, command, principal, state, version, created_at, updated_at, deadline, wait_until, progress_percent, progress_message,
    record_topic, record_key, record_headers, record_value, claimed_by, maybe_sent, published_partition, published_offset,
    reply_partition, idempotency_key, fingerprint, max_attempts, redeliver_after_ms, worker_group, ends_at_ack,
    ordered, order_number
  )
  SELECT
    n.id,
    CASE WHEN cardinality($2::text[]) = 1 THEN ($2::text[])[1] ELSE n.command END,
    CASE WHEN cardinality($3::text[]) = 1 THEN ($3::text[])[1] ELSE n.principal END,
    CASE WHEN cardinality($4::text[]) = 1 THEN ($4::text[])[1] ELSE n.state END,
    CASE WHEN cardinality($5::int[]) = 1 THEN ($5::int[])[1] ELSE n.version END,
    to_timestamp(n.created_at_ms / 1000), to_timestamp(n.created_at_ms / 1000), to_timestamp(n.deadline_ms / 1000),
    to_timestamp(n.wait_until_ms / 1000), n.progress_percent, n.progress_message,
    CASE WHEN cardinality($11::text[]) = 1 THEN ($11::text[])[1] ELSE n.record_topic END,
    n.record_key, n.record_headers, n.record_value,
    CASE
      WHEN n.behind THEN NULL
      WHEN n.ordered AND EXISTS (
        SELECT FROM sluice.operation e
        WHERE e.ordered AND e.published_offset IS NULL AND e.retained_until IS NULL
          AND e.record_topic = CASE WHEN cardinality($11::text[]) = 1 THEN ($11::text[])[1] ELSE n.record_topic END
          AND sha256(e.record_key) = sha256(n.record_key)
      ) THEN NULL
      ELSE CASE WHEN cardinality($15::text[]) = 1 THEN ($15::text[])[1] ELSE n.claimed_by END
    END,
    CASE WHEN cardinality($16::bool[]) = 1 THEN ($16::bool[])[1] ELSE n.maybe_sent END,
    n.published_partition, n.published_offset,
    CASE WHEN cardinality($19::int[]) = 1 THEN ($19::int[])[1] ELSE n.reply_partition END,
    n.idempotency_key, n.fingerprint,
    CASE WHEN cardinality($22::int[]) = 1 THEN ($22::int[])[1] ELSE n.max_attempts END,
    CASE WHEN cardinality($23::float8[]) = 1 THEN ($23::float8[])[1] ELSE n.redeliver_after_ms END,
    CASE WHEN cardinality($24::text[]) = 1 THEN ($24::text[])[1] ELSE n.worker_group END,
    coalesce(n.ends_at_ack, false),
    coalesce(n.ordered, false), CASE WHEN n.ordered THEN nextval('sluice.operation_order') END
  FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::float8[], $7::float8[], $8::float8[], $9::float8[], $10::text[],
    $11::text[], $12::bytea[], $13::bytea[], $14::bytea[], $15::text[], $16::bool[], $17::int[], $18::int8[],
    $19::int[], $20::text[], $21::bytea[], $22::int[], $23::float8[], $24::text[], $25::bool[], $26::bool[], $27::bool[]
  ) WITH ORDINALITY AS n(
    id, command, principal, state, version, created_at_ms, deadline_ms, wait_until_ms, progress_percent, progress_message,
    record_topic, record_key, record_headers, record_value, claimed_by, maybe_sent, published_partition, published_offset,
    reply_partition, idempotency_key, fingerprint, max_attempts, redeliver_after_ms, worker_group, ends_at_ack, ordered, behind,
    place
  )
  WHERE $34::text IS NULL OR EXISTS (SELECT FROM held)
  ORDER BY n.place
  ON CONFLICT DO NOTHING
  RETURNING id, created_at, ordered AND claimed_by IS NULL AS is_held
), numbered AS (
  INSERT INTO sluice.operation_event (operation_id, number, type, at, late, data, owed)
  SELECT i.id, 1, 'accepted', i.created_at, false, NULL, $33::bool FROM inserted i
  UNION ALL
  SELECT i.id, e.number, e.type, i.created_at, false, e.data, $33::bool
  FROM unnest($28::uuid[], $29::int[], $30::text[], $31::text[]) AS e(operation_id, number, type, data)
  JOIN inserted i ON i.id = e.operation_id
)
SELECT
  EXISTS (SELECT FROM held) AS held,
  CASE WHEN (SELECT count(*) FROM inserted) < $32::int THEN ARRAY(SELECT id::text FROM inserted) END AS ids,
  ARRAY(SELECT id::text FROM inserted WHERE is_held) AS held_ids

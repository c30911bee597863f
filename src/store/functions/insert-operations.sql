-- Inserts operations with their first events, in the order given: of two batches with keys in common both meet them in the
-- same order, so none waits for the other in a circle. With a lease (a topic that is not null) only while that lease is held:
-- one that has run out and that nobody took still is, the fence says so. The row is locked against a takeover (which takes
-- FOR UPDATE) but not against settling (which moves its position). An ordered operation is unclaimed where an earlier one of
-- its topic and key is not published yet, or goes into the same batch (`behind`). Ids are given back only where some of the
-- rows were not inserted.
CREATE FUNCTION @name (
  ids uuid[], commands text[], principals text[], states text[], versions int[], created_at_ms float8[],
  updated_at_ms float8[], deadline_ms float8[], progress_percents float8[], progress_messages text[],
  record_topics text[], record_keys bytea[], record_header_lists bytea[], record_values bytea[], claimers text[],
  maybe_sent_flags bool[], published_partitions int[], published_offsets int8[],
  reply_partitions int[], idempotency_keys text[], fingerprints bytea[], attempt_bounds int[],
  redeliver_after_ms_values float8[], worker_groups text[], ends_at_ack_flags bool[], ordered_flags bool[], behind_flags bool[],
  event_operation_ids uuid[], event_numbers int[], event_types text[], event_at_ms float8[],
  event_data_values text[],
  row_count int, owes_events bool, lease_topic text, lease_partition int, lease_fence int8,
  OUT held bool, OUT inserted_ids text[], OUT held_ids text[]
)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  WITH lease AS MATERIALIZED (
    SELECT l.partition
    FROM sluice.lease l
    WHERE l.topic = lease_topic AND l.partition = lease_partition AND l.fence = lease_fence AND l.owner IS NOT NULL
    FOR KEY SHARE
  ), shared AS MATERIALIZED (
    SELECT
      CASE WHEN cardinality(commands) = 1 THEN commands[1] END AS command,
      CASE WHEN cardinality(principals) = 1 THEN principals[1] END AS principal,
      CASE WHEN cardinality(states) = 1 THEN states[1] END AS state,
      CASE WHEN cardinality(versions) = 1 THEN versions[1] END AS version,
      CASE WHEN cardinality(record_topics) = 1 THEN record_topics[1] END AS record_topic,
      CASE WHEN cardinality(claimers) = 1 THEN claimers[1] END AS claimed_by,
      CASE WHEN cardinality(maybe_sent_flags) = 1 THEN maybe_sent_flags[1] END AS maybe_sent,
      CASE WHEN cardinality(reply_partitions) = 1 THEN reply_partitions[1] END AS reply_partition,
      CASE WHEN cardinality(attempt_bounds) = 1 THEN attempt_bounds[1] END AS max_attempts,
      CASE WHEN cardinality(redeliver_after_ms_values) = 1 THEN redeliver_after_ms_values[1] END AS redeliver_after_ms,
      CASE WHEN cardinality(worker_groups) = 1 THEN worker_groups[1] END AS worker_group
  ), inserted AS (
    INSERT INTO sluice.operation (
      id, command, principal, state, version, created_at, updated_at, deadline, progress_percent, progress_message,
      record_topic, record_key, record_headers, record_value, claimed_by, maybe_sent, published_partition, published_offset,
      reply_partition, idempotency_key, fingerprint, max_attempts, redeliver_after_ms, worker_group, ends_at_ack,
      ordered, order_number
    )
    SELECT
      n.id, coalesce(s.command, n.command), coalesce(s.principal, n.principal), coalesce(s.state, n.state),
      coalesce(s.version, n.version),
      to_timestamp(n.created_at_ms / 1000), to_timestamp(coalesce(n.updated_at_ms, n.created_at_ms) / 1000),
      to_timestamp(n.deadline_ms / 1000),
      n.progress_percent, n.progress_message,
      coalesce(s.record_topic, n.record_topic), n.record_key, n.record_headers, n.record_value,
      CASE
        WHEN n.behind THEN NULL
        WHEN coalesce(n.ordered, false) AND coalesce((
          -- The first in its order, so that it is read from the index: EXISTS may be planned as a look at all of them.
          SELECT true FROM sluice.operation e
          WHERE e.ordered AND e.published_offset IS NULL AND e.retained_until IS NULL
            AND e.record_topic = coalesce(s.record_topic, n.record_topic)
            AND sha256(e.record_key) = sha256(n.record_key)
          ORDER BY e.order_number LIMIT 1
        ), false) THEN NULL
        ELSE coalesce(s.claimed_by, n.claimed_by)
      END,
      coalesce(s.maybe_sent, n.maybe_sent), n.published_partition, n.published_offset,
      coalesce(s.reply_partition, n.reply_partition), n.idempotency_key, n.fingerprint,
      coalesce(s.max_attempts, n.max_attempts), coalesce(s.redeliver_after_ms, n.redeliver_after_ms),
      coalesce(s.worker_group, n.worker_group), coalesce(n.ends_at_ack, false),
      coalesce(n.ordered, false), CASE WHEN n.ordered THEN nextval('sluice.operation_order') END
    FROM shared s, unnest(
      ids, commands, principals, states, versions, created_at_ms, updated_at_ms, deadline_ms, progress_percents, progress_messages,
      record_topics, record_keys, record_header_lists, record_values, claimers, maybe_sent_flags, published_partitions,
      published_offsets, reply_partitions, idempotency_keys, fingerprints, attempt_bounds, redeliver_after_ms_values,
      worker_groups, ends_at_ack_flags, ordered_flags, behind_flags
    ) WITH ORDINALITY AS n(
      id, command, principal, state, version, created_at_ms, updated_at_ms, deadline_ms, progress_percent, progress_message,
      record_topic, record_key, record_headers, record_value, claimed_by, maybe_sent, published_partition,
      published_offset, reply_partition, idempotency_key, fingerprint, max_attempts, redeliver_after_ms,
      worker_group, ends_at_ack, ordered, behind, place
    )
    WHERE lease_topic IS NULL OR EXISTS (SELECT FROM lease)
    ORDER BY n.place
    ON CONFLICT DO NOTHING
    RETURNING id, created_at, ordered AND claimed_by IS NULL AS is_held
  ), numbered AS (
    INSERT INTO sluice.operation_event (operation_id, number, type, at, late, data, owed)
    SELECT i.id, 1, 'accepted', i.created_at, false, NULL, owes_events FROM inserted i
    UNION ALL
    SELECT i.id, e.number, e.type, to_timestamp(e.at_ms / 1000), false, e.data, owes_events
    FROM unnest(event_operation_ids, event_numbers, event_types, event_at_ms, event_data_values)
      AS e(operation_id, number, type, at_ms, data)
    JOIN inserted i ON i.id = e.operation_id
  )
  SELECT
    EXISTS (SELECT FROM lease),
    CASE WHEN (SELECT count(*) FROM inserted) < row_count THEN ARRAY(SELECT id::text FROM inserted) END,
    ARRAY(SELECT id::text FROM inserted WHERE is_held)
  INTO held, inserted_ids, held_ids;
END $$;

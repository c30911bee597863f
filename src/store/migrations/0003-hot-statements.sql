-- The three statements that run thousands of times a second, as functions. A statement that comes from outside is parsed and
-- planned each time, which costs more than to run it on a batch of thirty; PL/pgSQL keeps the plan, for as long as a server
-- process lives, and so behind a pooler too, where named statements are lost. Rules:
--   - A function is never changed: instances of the version before go on calling it. A new one gets a new name.
--   - One plan for all parameters, made perhaps while the tables were empty: so it must be right for any size, and each finds
--     its rows by an index. `enable_seqscan = off` and the conditions `id = ANY (…)` see to that.
--   - Parameters are columns of the batch. One that is missing is null in every row; one of a single element is the same in
--     every row (`shared`).

-- Inserts operations with their first events, in the order given: of two batches with keys in common both meet them in the
-- same order, so none waits for the other in a circle. With a lease (a topic that is not null) only while that lease is held:
-- one that has run out and that nobody took still is, the fence says so. The row is locked against a takeover (which takes
-- FOR UPDATE) but not against settling (which moves its position). An ordered operation is unclaimed where an earlier one of
-- its topic and key is not published yet, or goes into the same batch (`behind`). Ids are given back only where some of the
-- rows were not inserted.
CREATE FUNCTION sluice.insert_operations(
  ids uuid[], commands text[], principals text[], states text[], versions int[], created_at_ms float8[],
  deadline_ms float8[], progress_percents float8[], progress_messages text[],
  record_topics text[], record_keys bytea[], record_header_lists bytea[], record_values bytea[], claimers text[],
  maybe_sent_flags bool[], published_partitions int[], published_offsets int8[],
  reply_partitions int[], idempotency_keys text[], fingerprints bytea[], attempt_bounds int[],
  redeliver_after_ms_values float8[], worker_groups text[], ends_at_ack_flags bool[], ordered_flags bool[], behind_flags bool[],
  event_operation_ids uuid[], event_numbers int[], event_types text[], event_data_values text[],
  row_count int, owes_events bool, lease_topic text, lease_partition int, lease_fence int8
)
RETURNS TABLE (held bool, inserted_ids text[], held_ids text[])
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
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
      to_timestamp(n.created_at_ms / 1000), to_timestamp(n.created_at_ms / 1000), to_timestamp(n.deadline_ms / 1000),
      n.progress_percent, n.progress_message,
      coalesce(s.record_topic, n.record_topic), n.record_key, n.record_headers, n.record_value,
      CASE
        WHEN n.behind THEN NULL
        WHEN coalesce(n.ordered, false) AND EXISTS (
          SELECT FROM sluice.operation e
          WHERE e.ordered AND e.published_offset IS NULL AND e.retained_until IS NULL
            AND e.record_topic = coalesce(s.record_topic, n.record_topic)
            AND sha256(e.record_key) = sha256(n.record_key)
        ) THEN NULL
        ELSE coalesce(s.claimed_by, n.claimed_by)
      END,
      coalesce(s.maybe_sent, n.maybe_sent), n.published_partition, n.published_offset,
      coalesce(s.reply_partition, n.reply_partition), n.idempotency_key, n.fingerprint,
      coalesce(s.max_attempts, n.max_attempts), coalesce(s.redeliver_after_ms, n.redeliver_after_ms),
      coalesce(s.worker_group, n.worker_group), coalesce(n.ends_at_ack, false),
      coalesce(n.ordered, false), CASE WHEN n.ordered THEN nextval('sluice.operation_order') END
    FROM shared s, unnest(
      ids, commands, principals, states, versions, created_at_ms, deadline_ms, progress_percents, progress_messages,
      record_topics, record_keys, record_header_lists, record_values, claimers, maybe_sent_flags, published_partitions,
      published_offsets, reply_partitions, idempotency_keys, fingerprints, attempt_bounds, redeliver_after_ms_values,
      worker_groups, ends_at_ack_flags, ordered_flags, behind_flags
    ) WITH ORDINALITY AS n(
      id, command, principal, state, version, created_at_ms, deadline_ms, progress_percent, progress_message,
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
    SELECT i.id, e.number, e.type, i.created_at, false, e.data, owes_events
    FROM unnest(event_operation_ids, event_numbers, event_types, event_data_values) AS e(operation_id, number, type, data)
    JOIN inserted i ON i.id = e.operation_id
  )
  SELECT
    EXISTS (SELECT FROM lease),
    CASE WHEN (SELECT count(*) FROM inserted) < row_count THEN ARRAY(SELECT id::text FROM inserted) END,
    ARRAY(SELECT id::text FROM inserted WHERE is_held);
END $$;

-- Locks the lease where there is one (a topic that is not null) and then the rows in id order, and says which replies at the
-- offsets at hand each has taken already. No row is locked where the lease was taken over or its position is not what the
-- caller believes (`held`); there is always a row that says so. The lease takes the lock that moving it will take. What is
-- taken already is seen as of the statement's start: where another transaction was waited for, the unique index on reply
-- positions has the last word. A row that has only been accepted (version 1) has taken none, which spares the look.
CREATE FUNCTION sluice.lock_operations(
  ids uuid[], reply_offsets int8[], lease_topic text, lease_partition int, lease_fence int8, lease_offset int8
)
RETURNS TABLE (
  held bool, known_positions text[],
  id uuid, command text, principal text, state text, version int, attempt int,
  created_at_ms float8, updated_at_ms float8, deadline_ms float8, retained_until_ms float8,
  progress_percent float8, progress_message text,
  result_value bytea, result_content_type text, result_http_status int, result_headers text,
  error_code text, error_grpc_code text, error_message text, error_details text, delivery text,
  late_events int, maybe_sent bool, claimed_by text
)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH lease AS MATERIALIZED (
    SELECT l.partition
    FROM sluice.lease l
    WHERE l.topic = lease_topic AND l.partition = lease_partition AND l.fence = lease_fence
      AND l.next_offset = lease_offset
    FOR NO KEY UPDATE
  ), locked AS MATERIALIZED (
    SELECT o.*
    FROM sluice.operation o
    WHERE o.id = ANY (ids) AND (lease_topic IS NULL OR EXISTS (SELECT FROM lease))
    ORDER BY o.id
    FOR NO KEY UPDATE
  )
  SELECT
    h.held,
    CASE WHEN o.version > 1 AND cardinality(reply_offsets) > 0 THEN ARRAY(
      SELECT e.reply_topic || ':' || e.reply_partition || ':' || e.reply_offset
      FROM sluice.operation_event e
      WHERE e.operation_id = o.id AND e.reply_offset = ANY (reply_offsets)
    ) END,
    o.id, o.command, o.principal, o.state, o.version, o.attempt,
    (extract(epoch FROM o.created_at) * 1000)::float8, (extract(epoch FROM o.updated_at) * 1000)::float8,
    (extract(epoch FROM o.deadline) * 1000)::float8, (extract(epoch FROM o.retained_until) * 1000)::float8,
    o.progress_percent, o.progress_message,
    o.result_value, o.result_content_type, o.result_http_status, o.result_headers,
    o.error_code, o.error_grpc_code, o.error_message, o.error_details, o.delivery,
    o.late_events, o.maybe_sent, o.claimed_by
  FROM (SELECT lease_topic IS NULL OR EXISTS (SELECT FROM lease) AS held) h
  LEFT JOIN locked o ON true;
END $$;

-- Writes what folding made of operations, appends their events, moves the read position of a lease where there is one (a topic
-- that is not null), and notifies. False, with nothing written, where the lease was taken over or its position is not what
-- the caller believes. Rows that are not locked come with the version that was folded (`known_versions`, else null): where
-- one of them has another by now, all is undone by error SL001. An outcome is written once, by the event that ended the
-- operation (`ends`); later ones leave it as it stands. The result's bytes travel once, for row and event.
CREATE FUNCTION sluice.write_operations(
  ids uuid[], states text[], versions int[], updated_at_ms float8[], retained_until_ms float8[],
  progress_percents float8[], progress_messages text[], late_event_counts int[], ends_flags bool[],
  result_values bytea[], result_content_types text[], result_http_statuses int[], result_header_lists text[],
  error_codes text[], error_grpc_codes text[], error_messages text[], error_details_values text[], deliveries text[],
  published_partitions int[], published_offsets int8[], maybe_sent_flags bool[],
  event_places int[], event_numbers int[], event_types text[], event_at_ms float8[], event_late_flags bool[],
  event_data_values text[], event_reply_topics text[], event_reply_partitions int[], event_reply_offsets int8[],
  owes_events bool, lease_topic text, lease_partition int, lease_fence int8, lease_offset int8, lease_next_offset int8,
  known_versions int[], notices text[]
)
RETURNS bool
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  written int;
BEGIN
  IF lease_topic IS NOT NULL THEN
    UPDATE sluice.lease l SET next_offset = lease_next_offset
    WHERE l.topic = lease_topic AND l.partition = lease_partition AND l.fence = lease_fence AND l.next_offset = lease_offset;
    IF NOT FOUND THEN RETURN false; END IF;
  END IF;
  WITH shared AS MATERIALIZED (
    SELECT
      CASE WHEN cardinality(states) = 1 THEN states[1] END AS state,
      CASE WHEN cardinality(late_event_counts) = 1 THEN late_event_counts[1] END AS late_events,
      CASE WHEN cardinality(ends_flags) = 1 THEN ends_flags[1] END AS ends,
      CASE WHEN cardinality(result_content_types) = 1 THEN result_content_types[1] END AS result_content_type,
      CASE WHEN cardinality(result_header_lists) = 1 THEN result_header_lists[1] END AS result_headers,
      CASE WHEN cardinality(maybe_sent_flags) = 1 THEN maybe_sent_flags[1] END AS maybe_sent
  )
  UPDATE sluice.operation o SET
    state = coalesce(s.state, f.state),
    version = f.version,
    updated_at = to_timestamp(f.updated_at_ms / 1000),
    retained_until = to_timestamp(f.retained_until_ms / 1000),
    progress_percent = f.progress_percent,
    progress_message = f.progress_message,
    late_events = coalesce(s.late_events, f.late_events),
    result_value = CASE WHEN coalesce(s.ends, f.ends) THEN f.result_value ELSE o.result_value END,
    result_content_type = CASE WHEN coalesce(s.ends, f.ends)
      THEN coalesce(s.result_content_type, f.result_content_type) ELSE o.result_content_type END,
    result_http_status = CASE WHEN coalesce(s.ends, f.ends) THEN f.result_http_status ELSE o.result_http_status END,
    result_headers = CASE WHEN coalesce(s.ends, f.ends)
      THEN coalesce(s.result_headers, f.result_headers) ELSE o.result_headers END,
    error_code = CASE WHEN coalesce(s.ends, f.ends) THEN f.error_code ELSE o.error_code END,
    error_grpc_code = CASE WHEN coalesce(s.ends, f.ends) THEN f.error_grpc_code ELSE o.error_grpc_code END,
    error_message = CASE WHEN coalesce(s.ends, f.ends) THEN f.error_message ELSE o.error_message END,
    error_details = CASE WHEN coalesce(s.ends, f.ends) THEN f.error_details ELSE o.error_details END,
    delivery = CASE WHEN coalesce(s.ends, f.ends) THEN f.delivery ELSE o.delivery END,
    published_partition = coalesce(f.published_partition, o.published_partition),
    published_offset = coalesce(f.published_offset, o.published_offset),
    maybe_sent = o.maybe_sent OR coalesce(s.maybe_sent, f.maybe_sent)
  FROM shared s, unnest(
    ids, states, versions, updated_at_ms, retained_until_ms, progress_percents, progress_messages, late_event_counts,
    ends_flags, result_values, result_content_types, result_http_statuses, result_header_lists, error_codes,
    error_grpc_codes, error_messages, error_details_values, deliveries, published_partitions, published_offsets,
    maybe_sent_flags, known_versions
  ) AS f(
    id, state, version, updated_at_ms, retained_until_ms, progress_percent, progress_message, late_events,
    ends, result_value, result_content_type, result_http_status, result_headers, error_code,
    error_grpc_code, error_message, error_details, delivery, published_partition, published_offset,
    maybe_sent, known_version
  )
  WHERE o.id = f.id AND o.id = ANY (ids) AND (f.known_version IS NULL OR o.version = f.known_version);
  GET DIAGNOSTICS written = ROW_COUNT;
  IF written <> cardinality(ids) THEN
    RAISE EXCEPTION 'an operation has changed since it was read' USING ERRCODE = 'SL001';
  END IF;
  WITH shared AS MATERIALIZED (
    SELECT
      CASE WHEN cardinality(event_types) = 1 THEN event_types[1] END AS type,
      CASE WHEN cardinality(event_data_values) = 1 THEN event_data_values[1] END AS data,
      CASE WHEN cardinality(event_reply_topics) = 1 THEN event_reply_topics[1] END AS reply_topic,
      CASE WHEN cardinality(event_reply_partitions) = 1 THEN event_reply_partitions[1] END AS reply_partition
  )
  INSERT INTO sluice.operation_event (
    operation_id, number, type, at, late, data, payload, reply_topic, reply_partition, reply_offset, owed
  )
  SELECT
    ids[e.place], e.number, e.type, e.at, e.late, e.data,
    CASE WHEN e.type = 'succeeded' AND NOT e.late THEN result_values[e.place] END,
    e.reply_topic, e.reply_partition, e.reply_offset, owes_events
  FROM (
    SELECT
      a.place, a.number, coalesce(s.type, a.type) AS type, to_timestamp(a.at_ms / 1000) AS at,
      coalesce(a.late, false) AS late, coalesce(s.data, a.data) AS data,
      coalesce(s.reply_topic, a.reply_topic) AS reply_topic,
      coalesce(s.reply_partition, a.reply_partition) AS reply_partition, a.reply_offset
    FROM shared s, unnest(
      event_places, event_numbers, event_types, event_at_ms, event_late_flags, event_data_values, event_reply_topics,
      event_reply_partitions, event_reply_offsets
    ) AS a(place, number, type, at_ms, late, data, reply_topic, reply_partition, reply_offset)
  ) e;
  IF notices IS NOT NULL THEN
    PERFORM pg_notify('sluice_changed', n.payload) FROM unnest(notices) AS n(payload);
  END IF;
  RETURN true;
END $$;

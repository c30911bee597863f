-- Writes what folding made of operations, appends their events, moves the read position of a lease where there is one (a topic
-- that is not null), and notifies. False, with nothing written, where the lease was taken over or its position is not what
-- the caller believes. Rows that are not locked come in id order with the version that was folded (`known_versions`, else
-- null), and are open: where one of them has another version by now, or is done, all is undone by error SL001. They are taken
-- in id order, as `lock-operations` does: the ids come in that order, and an index scan (not a bitmap) finds them so. An outcome is written once, by the event that ended the
-- operation (`ends`); later ones leave it as it stands. The result's bytes travel once, for row and event.
CREATE FUNCTION @name (
  ids uuid[], states text[], versions int[], updated_at_ms float8[], retained_until_ms float8[],
  progress_percents float8[], progress_messages text[], late_event_counts int[], ends_flags bool[],
  result_values bytea[], result_content_types text[], result_http_statuses int[], result_header_lists text[],
  error_codes text[], error_grpc_codes text[], error_messages text[], error_details_values text[], deliveries text[],
  published_partitions int[], published_offsets int8[], maybe_sent_flags bool[],
  event_places int[], event_numbers int[], event_types text[], event_at_ms float8[], event_late_flags bool[],
  event_data_values text[], event_reply_topics text[], event_reply_partitions int[], event_reply_offsets int8[],
  owes_events bool, lease_topic text, lease_partition int, lease_fence int8, lease_offset int8, lease_next_offset int8,
  known_versions int[], notices text[],
  OUT held bool
)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
  written int;
BEGIN
  held := true;
  IF lease_topic IS NOT NULL THEN
    UPDATE sluice.lease l SET next_offset = lease_next_offset
    WHERE l.topic = lease_topic AND l.partition = lease_partition AND l.fence = lease_fence AND l.next_offset = lease_offset;
    IF NOT FOUND THEN
      held := false;
      RETURN;
    END IF;
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
  WHERE o.id = f.id AND o.id = ANY (ids)
    AND (f.known_version IS NULL OR (o.version = f.known_version AND o.retained_until IS NULL));
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
END $$;

-- Writes what folding made of locked operations, and appends their events. An outcome is written once, by the event that
-- ended the operation (`ends`); later ones leave it as it stands. The result's bytes travel once, for row and event.
WITH folded AS MATERIALIZED (
  SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::int[], $4::int[], $5::float8[], $6::float8[], $7::float8[], $8::float8[], $9::text[], $10::int[],
    $11::bool[], $12::bytea[], $13::text[], $14::int[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[],
    $21::text[], $22::int[], $23::int8[], $24::bool[]
  ) AS f(
    id, state, version, attempt, updated_at_ms, deadline_ms, retained_until_ms, progress_percent, progress_message, late_events,
    ends, result_value, result_content_type, result_http_status, result_headers,
    error_code, error_grpc_code, error_message, error_details, delivery,
    publication, published_partition, published_offset, maybe_sent
  )
), updated AS (
  UPDATE sluice.operation o SET
    state = f.state,
    version = f.version,
    attempt = f.attempt,
    updated_at = to_timestamp(f.updated_at_ms / 1000),
    deadline = to_timestamp(f.deadline_ms / 1000),
    retained_until = to_timestamp(f.retained_until_ms / 1000),
    progress_percent = f.progress_percent,
    progress_message = f.progress_message,
    late_events = f.late_events,
    result_value = CASE WHEN f.ends THEN f.result_value ELSE o.result_value END,
    result_content_type = CASE WHEN f.ends THEN f.result_content_type ELSE o.result_content_type END,
    result_http_status = CASE WHEN f.ends THEN f.result_http_status ELSE o.result_http_status END,
    result_headers = CASE WHEN f.ends THEN f.result_headers ELSE o.result_headers END,
    error_code = CASE WHEN f.ends THEN f.error_code ELSE o.error_code END,
    error_grpc_code = CASE WHEN f.ends THEN f.error_grpc_code ELSE o.error_grpc_code END,
    error_message = CASE WHEN f.ends THEN f.error_message ELSE o.error_message END,
    error_details = CASE WHEN f.ends THEN f.error_details ELSE o.error_details END,
    delivery = CASE WHEN f.ends THEN f.delivery ELSE o.delivery END,
    published_partition = CASE f.publication WHEN 'set' THEN f.published_partition WHEN 'clear' THEN NULL ELSE o.published_partition END,
    published_offset = CASE f.publication WHEN 'set' THEN f.published_offset WHEN 'clear' THEN NULL ELSE o.published_offset END,
    maybe_sent = o.maybe_sent OR f.maybe_sent
  FROM folded f
  WHERE o.id = f.id
)
INSERT INTO sluice.operation_event (operation_id, number, type, at, late, data, payload, reply_topic, reply_partition, reply_offset)
SELECT
  e.operation_id, e.number, e.type, to_timestamp(e.at_ms / 1000), e.late, e.data,
  f.result_value, e.reply_topic, e.reply_partition, e.reply_offset
FROM unnest(
  $25::uuid[], $26::int[], $27::text[], $28::float8[], $29::bool[], $30::text[], $31::text[], $32::int[], $33::int8[]
) AS e(operation_id, number, type, at_ms, late, data, reply_topic, reply_partition, reply_offset)
LEFT JOIN folded f ON f.id = e.operation_id AND e.type = 'succeeded' AND NOT e.late

-- Writes what folding made of locked operations, appends their events, and moves the read position of the locked lease where
-- there is one ($32 its topic, not null). An outcome is written once, by the event that ended the operation (`ends`); later
-- ones leave it as it stands. The result's bytes travel once, for row and event, and what is equal in all rows comes once
-- (see sharedColumnOf).
WITH moved AS (
  UPDATE sluice.lease SET next_offset = $35::int8
  WHERE topic = $32::text AND partition = $33::int AND fence = $34::int8
), folded AS MATERIALIZED (
  SELECT
    f.place,
    f.id,
    CASE WHEN cardinality($2::text[]) = 1 THEN ($2::text[])[1] ELSE f.state END AS state,
    f.version, f.updated_at_ms, f.retained_until_ms, f.progress_percent, f.progress_message,
    CASE WHEN cardinality($8::int[]) = 1 THEN ($8::int[])[1] ELSE f.late_events END AS late_events,
    CASE WHEN cardinality($9::bool[]) = 1 THEN ($9::bool[])[1] ELSE f.ends END AS ends,
    f.result_value,
    CASE WHEN cardinality($11::text[]) = 1 THEN ($11::text[])[1] ELSE f.result_content_type END AS result_content_type,
    f.result_http_status,
    CASE WHEN cardinality($13::text[]) = 1 THEN ($13::text[])[1] ELSE f.result_headers END AS result_headers,
    f.error_code, f.error_grpc_code, f.error_message, f.error_details, f.delivery,
    f.published_partition, f.published_offset,
    CASE WHEN cardinality($21::bool[]) = 1 THEN ($21::bool[])[1] ELSE f.maybe_sent END AS maybe_sent
  FROM unnest(
    $1::uuid[], $2::text[], $3::int[], $4::float8[], $5::float8[], $6::float8[], $7::text[], $8::int[],
    $9::bool[], $10::bytea[], $11::text[], $12::int[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[],
    $19::int[], $20::int8[], $21::bool[]
  ) WITH ORDINALITY AS f(
    id, state, version, updated_at_ms, retained_until_ms, progress_percent, progress_message, late_events,
    ends, result_value, result_content_type, result_http_status, result_headers,
    error_code, error_grpc_code, error_message, error_details, delivery,
    published_partition, published_offset, maybe_sent, place
  )
), updated AS (
  UPDATE sluice.operation o SET
    state = f.state,
    version = f.version,
    updated_at = to_timestamp(f.updated_at_ms / 1000),
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
    published_partition = coalesce(f.published_partition, o.published_partition),
    published_offset = coalesce(f.published_offset, o.published_offset),
    maybe_sent = o.maybe_sent OR f.maybe_sent
  FROM folded f
  WHERE o.id = f.id
)
INSERT INTO sluice.operation_event (
  operation_id, number, type, at, late, data, payload, reply_topic, reply_partition, reply_offset, owed
)
SELECT
  f.id, e.number, e.type, to_timestamp(e.at_ms / 1000), e.late, e.data,
  CASE WHEN e.type = 'succeeded' AND NOT e.late THEN f.result_value END,
  e.reply_topic, e.reply_partition, e.reply_offset, $31::bool
FROM (
  SELECT
    a.place, a.number,
    CASE WHEN cardinality($24::text[]) = 1 THEN ($24::text[])[1] ELSE a.type END AS type,
    a.at_ms,
    coalesce(a.late, false) AS late,
    CASE WHEN cardinality($27::text[]) = 1 THEN ($27::text[])[1] ELSE a.data END AS data,
    CASE WHEN cardinality($28::text[]) = 1 THEN ($28::text[])[1] ELSE a.reply_topic END AS reply_topic,
    CASE WHEN cardinality($29::int[]) = 1 THEN ($29::int[])[1] ELSE a.reply_partition END AS reply_partition,
    a.reply_offset
  FROM unnest(
    $22::int[], $23::int[], $24::text[], $25::float8[], $26::bool[], $27::text[], $28::text[], $29::int[], $30::int8[]
  ) AS a(place, number, type, at_ms, late, data, reply_topic, reply_partition, reply_offset)
) e
JOIN folded f ON f.place = e.place

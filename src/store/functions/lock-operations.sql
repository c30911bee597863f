-- Locks the lease where there is one (a topic that is not null) and then the rows in id order, and says which replies at the
-- offsets at hand each has taken already. No row is locked where the lease was taken over or its position is not what the
-- caller believes (`held`); there is always a row that says so. The lease takes the lock that moving it will take. What is
-- taken already is seen as of the statement's start: where another transaction was waited for, the unique index on reply
-- positions has the last word. A row that has only been accepted (version 1) has taken none, which spares the look.
CREATE FUNCTION @name (
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
-- @operation-columns
    , o.maybe_sent, o.claimed_by
  FROM (SELECT lease_topic IS NULL OR EXISTS (SELECT FROM lease) AS held) h
  LEFT JOIN locked o ON true;
END $$;

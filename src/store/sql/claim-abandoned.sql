-- Unpublished rows that nobody has claimed or whose claimer is dead, oldest first, until $3 bytes are full. What a dead
-- claimer had may have been sent. Past its deadline nothing is published any more: that is for expiry. Of ordered rows only
-- the first of its topic and key, whoever has claimed the earlier ones. A row that somebody writes just now is passed over.
WITH living AS MATERIALIZED (
  SELECT boot_id FROM sluice.instance WHERE until > sluice.sluice_now()
), abandoned AS MATERIALIZED (
  SELECT o.id, octet_length(o.record_value) AS size_bytes
  FROM sluice.operation o
  WHERE o.published_offset IS NULL AND o.retained_until IS NULL
    AND (o.claimed_by IS NULL OR ($4::bool AND o.claimed_by <> $1::text AND o.claimed_by NOT IN (SELECT boot_id FROM living)))
    AND o.deadline > (SELECT sluice.sluice_now())
    AND o.record_topic <> ALL ($5::text[])
    AND (NOT o.ordered OR NOT EXISTS (
      SELECT FROM sluice.operation e
      WHERE e.ordered AND e.published_offset IS NULL AND e.retained_until IS NULL
        AND e.record_topic = o.record_topic AND sha256(e.record_key) = sha256(o.record_key)
        AND e.order_number < o.order_number
    ))
  ORDER BY o.id
  LIMIT $2::int
  FOR NO KEY UPDATE SKIP LOCKED
), fitting AS (
  SELECT s.id FROM (SELECT a.id, sum(a.size_bytes) OVER (ORDER BY a.id) - a.size_bytes AS before_bytes FROM abandoned a) s
  WHERE s.before_bytes < $3::int8
), claimed AS (
  UPDATE sluice.operation o SET
    claimed_by = $1::text,
    maybe_sent = o.maybe_sent OR o.claimed_by IS NOT NULL
  FROM fitting f
  WHERE o.id = f.id
  RETURNING
-- @outbox-columns
)
SELECT * FROM claimed ORDER BY id

-- A page of the walk along the primary key, from the oldest id on. Who owes a record stays until it is on its topic, and what
-- somebody writes just now is left for the next walk: a purge waits for nobody. Ids grow with time, so where one operation
-- was made less than a retention ago (what it is kept for after its last event), all that follow are too young as well.
-- As arrays, whose lengths the planner does not guess: a join of the batch would be by a scan of the tables from some size on.
WITH looked AS MATERIALIZED (
  SELECT o.id, coalesce(o.created_at + (o.retained_until - o.updated_at) > (SELECT sluice.sluice_now()), false) AS is_young
  FROM sluice.operation o
  WHERE o.id > $1::uuid
  ORDER BY o.id
  LIMIT $2::int
), due AS MATERIALIZED (
  SELECT o.id
  FROM sluice.operation o
  WHERE o.id = ANY (ARRAY(SELECT id FROM looked))
    AND o.retained_until <= (SELECT sluice.sluice_now()) AND NOT o.owes_dead_letter AND NOT o.owes_cancellation
    AND NOT EXISTS (SELECT FROM sluice.operation_event e WHERE e.operation_id = o.id AND e.owed)
  FOR UPDATE SKIP LOCKED
), purged_events AS (
  DELETE FROM sluice.operation_event WHERE operation_id = ANY (ARRAY(SELECT id FROM due))
), purged AS (
  DELETE FROM sluice.operation WHERE id = ANY (ARRAY(SELECT id FROM due))
)
SELECT
  (SELECT count(*) FROM due)::int AS purged,
  (SELECT count(*) FROM looked)::int AS looked,
  (SELECT bool_or(is_young) FROM looked) AS is_at_young,
  (SELECT id FROM looked ORDER BY id DESC LIMIT 1) AS last_id

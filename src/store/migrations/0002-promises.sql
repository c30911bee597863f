-- What it takes to keep a promise beyond the process that gave it. Only additions, with defaults under which rows of the
-- version before and its instances, which do not know these columns, go on as they did.

-- Drawn in the insert of ordered operations: the order in which they are published among those of their topic and key.
CREATE SEQUENCE sluice.operation_order;

ALTER TABLE sluice.operation
  -- Null again where the command was certainly never sent: then the key is free for another try.
  ADD COLUMN idempotency_key text,
  ADD COLUMN fingerprint bytea,
  -- The terms under which the operation was accepted; see OperationTerms.
  ADD COLUMN max_attempts integer NOT NULL DEFAULT 1,
  ADD COLUMN redeliver_after_ms double precision,
  ADD COLUMN worker_group text,
  ADD COLUMN ordered boolean NOT NULL DEFAULT false,
  ADD COLUMN order_number bigint,
  ADD COLUMN ends_at_ack boolean NOT NULL DEFAULT false,
  ADD COLUMN reply_partition integer,
  -- Set by the transaction that ended the operation, cleared once the record is on its topic. Who owes is not purged.
  ADD COLUMN owes_dead_letter boolean NOT NULL DEFAULT false,
  ADD COLUMN owes_cancellation boolean NOT NULL DEFAULT false;

-- True where lifecycle events are switched on, until the event is on their topic.
ALTER TABLE sluice.operation_event ADD COLUMN owed boolean NOT NULL DEFAULT false;

-- As before: no index names, in columns or condition, what `acknowledged` and `progressed` change, so that these are
-- written without touching one.

-- Lists are by principal, newest first. Those of anonymous callers, who list on loopback only, walk the primary key: where
-- nobody is authenticated all rows would stand in the index under one name, twice each, as their end writes it again.
DROP INDEX sluice.operation_of_principal;
CREATE INDEX operation_of_principal ON sluice.operation (principal, id) WHERE principal <> '';

CREATE UNIQUE INDEX operation_key ON sluice.operation (principal, command, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
-- By the earliest moment at which a next attempt can be due, which no sign of life moves (but for it the index would move
-- with each): who is younger is not looked at.
CREATE INDEX operation_redrivable
  ON sluice.operation (((created_at AT TIME ZONE 'UTC') + redeliver_after_ms * interval '1 millisecond'))
  WHERE retained_until IS NULL AND redeliver_after_ms IS NOT NULL AND attempt < max_attempts;
-- Who is first of its topic and key. By the key's hash, for a key may be longer than an index takes.
CREATE INDEX operation_ordered ON sluice.operation (record_topic, sha256(record_key), order_number)
  WHERE ordered AND published_offset IS NULL AND retained_until IS NULL;
CREATE INDEX operation_owes_dead_letter ON sluice.operation (id) WHERE owes_dead_letter;
CREATE INDEX operation_owes_cancellation ON sluice.operation (id) WHERE owes_cancellation;
CREATE INDEX operation_of_unknown_fate ON sluice.operation (id) WHERE delivery = 'unknown';
CREATE INDEX operation_event_owed ON sluice.operation_event (operation_id, number) WHERE owed;

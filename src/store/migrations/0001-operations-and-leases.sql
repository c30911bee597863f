-- Times are the database's unless a comment says that a gateway wrote them. Every name is qualified: behind a pooler there is no search_path.

-- Tests move the database's clock here; 0 everywhere else.
CREATE TABLE sluice.clock_offset (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  offset_ms double precision NOT NULL DEFAULT 0
);
INSERT INTO sluice.clock_offset DEFAULT VALUES;

-- The one clock that leases, deadlines and expiry are compared with.
CREATE FUNCTION sluice.sluice_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT pg_catalog.clock_timestamp() + (SELECT offset_ms * interval '1 millisecond' FROM sluice.clock_offset)
$$;

-- The operation's snapshot, its outbox record and its outcome in one row. Room on the page (fillfactor) lets `dispatched`
-- and `progressed` be written without touching an index: no index below names what they change, but for `unpublished`.
CREATE TABLE sluice.operation (
  id uuid PRIMARY KEY,
  command text NOT NULL,
  principal text NOT NULL,
  state text NOT NULL,
  version integer NOT NULL,
  attempt integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  deadline timestamptz NOT NULL,
  wait_until timestamptz,
  -- Set when the operation ends; null while it is open.
  retained_until timestamptz,
  progress_percent double precision,
  progress_message text,
  record_topic text NOT NULL,
  record_key bytea NOT NULL,
  record_headers bytea NOT NULL,
  record_value bytea NOT NULL,
  claimed_by text,
  maybe_sent boolean NOT NULL,
  published_partition integer,
  published_offset bigint,
  -- A result is there exactly where result_headers is not null; its value may be null (an empty result).
  result_value bytea,
  result_content_type text,
  result_http_status integer,
  result_headers text,
  error_code text,
  error_grpc_code text,
  error_message text,
  error_details text,
  delivery text,
  late_events integer NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

-- Lists. Ids are UUIDv7: their order is that of creation, and retention walks the primary key from its old end.
CREATE INDEX operation_of_principal ON sluice.operation (principal, id);
-- What may expire or be re-driven.
CREATE INDEX operation_open ON sluice.operation (deadline) WHERE retained_until IS NULL;
-- What may have to be published by somebody else.
CREATE INDEX operation_unpublished ON sluice.operation (claimed_by, id)
  WHERE published_offset IS NULL AND retained_until IS NULL;

-- The history; the row above can be rebuilt from it. No foreign key: it would lock the parent once more for each event.
CREATE TABLE sluice.operation_event (
  operation_id uuid NOT NULL,
  number integer NOT NULL,
  type text NOT NULL,
  at timestamptz NOT NULL,
  late boolean NOT NULL,
  -- JSON text, not jsonb: jsonb refuses \u0000, which a worker may send.
  data text,
  -- The worker's bytes of a `succeeded` that counted.
  payload bytea,
  reply_topic text,
  reply_partition integer,
  reply_offset bigint,
  PRIMARY KEY (operation_id, number)
);

-- What makes settling a reply twice harmless.
CREATE UNIQUE INDEX operation_event_reply
  ON sluice.operation_event (operation_id, reply_topic, reply_partition, reply_offset) WHERE reply_offset IS NOT NULL;

CREATE TABLE sluice.lease (
  topic text NOT NULL,
  partition integer NOT NULL,
  owner text,
  home boolean NOT NULL DEFAULT false,
  fence bigint NOT NULL DEFAULT 0,
  until timestamptz,
  next_offset bigint NOT NULL,
  PRIMARY KEY (topic, partition)
) WITH (fillfactor = 30);

-- Who lives: a boot id is alive while `until` is ahead.
CREATE TABLE sluice.instance (
  boot_id text PRIMARY KEY,
  started_at timestamptz NOT NULL,
  until timestamptz NOT NULL
) WITH (fillfactor = 50);

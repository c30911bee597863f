-- Rows of instances that are long dead go with it, so that the table does not grow with every restart.
WITH purged AS (
  DELETE FROM sluice.instance WHERE until < sluice.sluice_now() - interval '1 hour' AND boot_id <> $1::text
)
INSERT INTO sluice.instance (boot_id, started_at, until)
VALUES ($1::text, sluice.sluice_now(), sluice.sluice_now() + $2::float8 * interval '1 millisecond')
ON CONFLICT (boot_id) DO UPDATE SET until = excluded.until
RETURNING (extract(epoch FROM sluice.sluice_now()) * 1000)::float8 AS now_ms

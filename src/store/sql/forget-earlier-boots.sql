-- The folder is locked to this process, so whoever else stands here is dead: leases and positions in logs that died with
-- their processes, and instances that nobody has to be waited for. Only topics that end in a boot id are in-process ones:
-- positions in Kafka are kept.
WITH leases AS (
  DELETE FROM sluice.lease WHERE topic <> $1::text AND topic ~ '[.][0-9a-f]{16}$'
), instances AS (
  DELETE FROM sluice.instance WHERE boot_id <> $2::text
)
UPDATE sluice.lease SET owner = NULL, home = false, until = NULL, fence = fence + 1
WHERE owner IS NOT NULL AND owner <> $2::text AND (topic = $1::text OR topic !~ '[.][0-9a-f]{16}$')

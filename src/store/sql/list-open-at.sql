SELECT o.id FROM sluice.operation o
WHERE o.retained_until IS NULL AND o.reply_partition = $1::int
ORDER BY o.id
LIMIT $2::int

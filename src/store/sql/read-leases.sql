SELECT partition, owner, home, fence, next_offset, owner IS NOT NULL AND until <= sluice.sluice_now() AS expired
FROM sluice.lease
WHERE topic = $1::text
ORDER BY partition

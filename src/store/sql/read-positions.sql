SELECT partition, next_offset FROM sluice.lease WHERE topic = $1::text

DELETE FROM sluice.instance WHERE boot_id = $1::text

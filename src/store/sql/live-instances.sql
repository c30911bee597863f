SELECT boot_id FROM sluice.instance WHERE until > sluice.sluice_now() ORDER BY boot_id

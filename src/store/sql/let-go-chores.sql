UPDATE sluice.lease SET owner = NULL, until = NULL WHERE topic = '@chores' AND partition = 0 AND owner = $1::text

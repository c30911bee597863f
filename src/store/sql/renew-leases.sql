-- An expired lease that nobody took is renewed.
UPDATE sluice.lease SET until = sluice.sluice_now() + $3::float8 * interval '1 millisecond'
WHERE topic = $1::text AND owner = $2::text

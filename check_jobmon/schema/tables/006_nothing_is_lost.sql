-- What other settings, other clocks and restored copies need: keys for every table, and checks on what is written.

-- A job's lock lasts as long as the session that took it, which need not be the one that began the run: jobmonctl run takes it
-- again when its session was lost.
ALTER TABLE @schema@.job_lock ADD COLUMN pid integer, ADD COLUMN taken timestamptz;

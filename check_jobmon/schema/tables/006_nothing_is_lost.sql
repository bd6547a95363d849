-- What other settings, other clocks and restored copies need: keys for every table, and checks on what is written.

-- A key for every table: where a publication has all tables, those without can be neither updated nor deleted from. So until
-- job_check_log has its key, its whole rows do. A run is there once; its worst level counts.
ALTER TABLE @schema@.job_check_log REPLICA IDENTITY FULL;
DELETE FROM @schema@.job_check_log AS c
      USING @schema@.job_check_log AS d
      WHERE d.job_id = c.job_id AND (d.alert_code, d.ctid) > (c.alert_code, c.ctid);
ALTER TABLE @schema@.job_check_log ADD PRIMARY KEY (job_id);
ALTER TABLE @schema@.job_check_log REPLICA IDENTITY DEFAULT;
DROP INDEX @schema@.job_check_log_job_id_idx;
ALTER TABLE @schema@.link ADD PRIMARY KEY (role_name);
-- any of its columns can be NULL
ALTER TABLE @schema@.dblink_mapping REPLICA IDENTITY FULL;

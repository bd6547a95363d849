-- When the next run after those is due that began no earlier than the job m's last completed run, and so ended after its start.
SELECT max(r.next_due)
  FROM (SELECT @next_due@ AS next_due
          FROM @schema@.job_log AS r
         WHERE r.job_name = m.job_name
           AND r.end_time BETWEEN m.done_start AND '9999-12-31'
           AND @schema/was_no_refusal.sql@
         ORDER BY r.end_time DESC
         LIMIT 1000) AS r

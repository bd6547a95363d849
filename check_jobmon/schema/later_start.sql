-- The latest next_due of the runs of the job m that ended after its last completed run had begun. One of them may have begun later than
-- that run, and ended earlier.
SELECT max(r.next_due)
  FROM (SELECT @next_due@ AS next_due
          FROM @schema@.job_log AS r
         WHERE r.job_name = m.job_name
           AND r.end_time BETWEEN m.done_start AND '9999-12-31'
           AND @schema/was_no_refusal.sql@
         ORDER BY r.end_time DESC
         LIMIT 1000) AS r

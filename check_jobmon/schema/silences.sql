-- The silences that are in force.
SELECT s.silence_id, s.pattern, s.starts, s.ends, s.until_next_run, s.reason, s.created_by, s.name_like, s.name_regex
  FROM @schema@.job_silence AS s
 WHERE s.ended IS NULL
   AND now() >= s.starts
   AND now() < s.ends

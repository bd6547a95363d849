-- Whether the backend of the crashed run is gone, and the two runs under way have exceeded their warning threshold of one second.
SELECT bool_and(now() > start_time + interval '1 second')
       AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'vacuumer')
  FROM jobmon.job_log
 WHERE job_name IN ('PARTITION UPKEEP', 'WAREHOUSE LOAD')

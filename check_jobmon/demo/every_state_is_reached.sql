-- Whether the crashed run's backend is gone, and the two runs under way are past their warning threshold of a second.
SELECT bool_and(now() > start_time + interval '1 second')
       AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'vacuumer')
  FROM jobmon.job_log
 WHERE job_name IN ('PARTITION UPKEEP', 'WAREHOUSE LOAD')

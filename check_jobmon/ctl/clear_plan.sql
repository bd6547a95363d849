-- What job_log_clear() would do. Parameter: the interval. Returns the interval, whether it is negative, the time before which a run must
-- have started to be deleted (to print, and exact), whether the role may call job_log_clear(), and whether it may see which runs are kept.
SELECT i.i::text,
       i.i < '0',
       to_char(b.before, 'YYYY-MM-DD HH24:MI:SS'),
       b.before::text,
       has_function_privilege(to_regprocedure('@schema@.job_log_clear(interval)'), 'EXECUTE'),
       coalesce(has_function_privilege(to_regprocedure('@schema@.job_log_kept_before(timestamptz)'), 'EXECUTE'), false)
  FROM (SELECT %s::interval AS i) AS i
 CROSS JOIN LATERAL (
        -- beyond a thousand years the difference could leave the range of a timestamp
        SELECT CASE WHEN i.i < '1000 years' THEN now() - i.i ELSE '1000-01-01' END AS before
       ) AS b

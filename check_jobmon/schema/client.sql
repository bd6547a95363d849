-- The process that runs, or ran, the run n.job_id, if that isn't its backend: a host and a pid. In an older schema, job_log lacks these
-- two columns: then the unqualified names refer to those of `lacking`, which are NULL.
SELECT c.host, c.pid
  FROM (SELECT NULL::text AS client_host, NULL::integer AS client_pid) AS lacking
 CROSS JOIN LATERAL (
        SELECT left(client_host, 200) AS host, client_pid AS pid
          FROM @schema@.job_log AS l
         WHERE l.job_id = n.job_id
         LIMIT 1
       ) AS c
 WHERE c.pid IS NOT NULL

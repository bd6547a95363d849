-- The steps of a run, or of a job's latest runs.
CREATE OR REPLACE FUNCTION @schema@.show_detail(p_id bigint) RETURNS SETOF @schema@.job_detail
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT d.*
  FROM job_detail AS d
 WHERE d.job_id = p_id
 ORDER BY d.step_id
$$;
COMMENT ON FUNCTION @schema@.show_detail(bigint) IS 'The steps of the run with this job_id, in order.';

CREATE OR REPLACE FUNCTION @schema@.show_detail(p_name text, integer DEFAULT 1) RETURNS SETOF @schema@.job_detail
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT d.*
  FROM job_runs(upper(p_name), $2) AS r
 CROSS JOIN LATERAL (
        SELECT *
          FROM job_detail
         WHERE job_id = r.job_id
         -- OFFSET 0 makes this an index probe for each run, however many runs the planner expects
         OFFSET 0
       ) AS d
 ORDER BY d.job_id DESC, d.step_id
$$;
COMMENT ON FUNCTION @schema@.show_detail(text, integer) IS
    'The steps of the latest runs of the job with this name: newest run first, the steps of each run in order. The second argument is '
    'the number of runs, 1 by default.';

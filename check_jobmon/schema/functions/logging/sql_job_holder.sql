-- Which backend has the lock of a sql_job(). Anybody may ask: pg_locks is public.
CREATE OR REPLACE FUNCTION @schema@.sql_job_holder(p_lock bigint) RETURNS integer
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
    SELECT l.pid
      FROM pg_locks AS l
     WHERE l.locktype = 'advisory'
       AND l.objsubid = 1
       AND l.classid = (p_lock >> 32 & 4294967295)::oid
       AND l.objid = (p_lock & 4294967295)::oid
       AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
       AND l.granted
$$;
COMMENT ON FUNCTION @schema@.sql_job_holder(bigint) IS 'Internal: the pid of the backend that has this lock.';

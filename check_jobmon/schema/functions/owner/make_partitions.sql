-- The partitions of job_log and job_detail, where these are partitioned: which there are, and making those that come next.

CREATE OR REPLACE FUNCTION @schema@.partitions_of(p_table text, OUT part regclass, OUT begins timestamptz, OUT ends timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
-- the bounds are a text
SET datestyle = 'ISO, YMD'
SET timezone = 'UTC'
AS $$
SELECT c.oid::regclass,
       coalesce(substring(b.bounds FROM 'FROM [(]''([^'']+)''[)]')::timestamptz, '-infinity'),
       coalesce(substring(b.bounds FROM 'TO [(]''([^'']+)''[)]')::timestamptz, 'infinity')
  FROM pg_inherits AS i
  JOIN pg_class AS c ON c.oid = i.inhrelid
 CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bounds) AS b
 WHERE i.inhparent = ('@schema@.' || quote_ident(p_table))::regclass
   AND b.bounds LIKE 'FOR VALUES FROM %'
$$;
COMMENT ON FUNCTION @schema@.partitions_of(text) IS 'Internal: the partitions of job_log or job_detail that are not the default one.';

CREATE OR REPLACE FUNCTION @schema@.partitions(OUT runs regclass, OUT steps regclass, OUT begins timestamptz, OUT ends timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT r.part, d.part, r.begins, r.ends
  FROM partitions_of('job_log') AS r
  LEFT JOIN partitions_of('job_detail') AS d ON d.begins = r.begins AND d.ends = r.ends
 -- without a partition that somebody is detaching (PostgreSQL 14 and newer), because its rows aren't the log's any more
 WHERE NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid IN (r.part, d.part) AND to_jsonb(i) ->> 'inhdetachpending' = 'true')
$$;
COMMENT ON FUNCTION @schema@.partitions() IS
    'Internal: the partitions of job_log that are not the default one, and the partitions of job_detail with the same bounds.';

-- A table is filled before it becomes a partition, so that no trigger fires for rows that the default partition has caught, and
-- attached, because that waits for no reader of other partitions.
CREATE OR REPLACE FUNCTION @schema@.make_partition(p_table text, p_begins timestamptz, p_ends timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
SET datestyle = 'ISO, YMD'
SET timezone = 'UTC'
-- A session that has a link open can set these two on the link. They are replaced below by those of the default partition.
SET default_tablespace = ''
SET default_table_access_method = 'heap'
AS $$
DECLARE
    v_wanted constant text := p_table || to_char(p_begins, '_YYYYMMDD');
    v_name   text := v_wanted;
    v_column constant text := CASE p_table WHEN 'job_log' THEN 'job_id' ELSE 'step_id' END;
    v_rows   constant text := format('@schema@.%I WHERE start_time >= %L AND start_time < %L', p_table || '_default', p_begins, p_ends);
    v_caught boolean;
    v_text   text;
    v_others integer := 1;
BEGIN
    PERFORM set_config('default_tablespace', coalesce(t.spcname, ''), true),
            set_config('default_table_access_method', a.amname, true)
       FROM pg_class AS c
       JOIN pg_am AS a ON a.oid = c.relam
       LEFT JOIN pg_tablespace AS t ON t.oid = c.reltablespace
      WHERE c.oid = ('@schema@.' || quote_ident(p_table || '_default'))::regclass;
    -- the name is taken, for example by a partition that somebody has detached
    WHILE to_regclass('@schema@.' || quote_ident(v_name)) IS NOT NULL LOOP
        v_others := v_others + 1;
        v_name := v_wanted || '_' || v_others;
    END LOOP;
    EXECUTE format('CREATE TABLE @schema@.%I (LIKE @schema@.%I INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY, PRIMARY KEY (%I))',
                   v_name, p_table, v_column);
    -- ALTER DEFAULT PRIVILEGES may have given rights, and partitions are read and written through their tables
    FOR v_text IN
        SELECT format('REVOKE ALL ON @schema@.%I FROM %s', v_name, coalesce(quote_ident(r.rolname), 'PUBLIC'))
          FROM pg_class AS c
         CROSS JOIN aclexplode(c.relacl) AS a
          LEFT JOIN pg_roles AS r ON r.oid = a.grantee
         WHERE c.oid = ('@schema@.' || quote_ident(v_name))::regclass
           AND a.grantee <> c.relowner
    LOOP
        EXECUTE v_text;
    END LOOP;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', v_rows) INTO v_caught;
    IF v_caught THEN
        EXECUTE format('LOCK TABLE ONLY @schema@.%I IN ACCESS EXCLUSIVE MODE', p_table);
        EXECUTE format('ALTER TABLE @schema@.%I DETACH PARTITION @schema@.%I', p_table, p_table || '_default');
        EXECUTE format('INSERT INTO @schema@.%I SELECT * FROM %s', v_name, v_rows);
        EXECUTE 'DELETE FROM ' || v_rows;
    END IF;
    EXECUTE format('ALTER TABLE @schema@.%I ATTACH PARTITION @schema@.%I FOR VALUES FROM (%L) TO (%L)',
                   p_table, v_name, p_begins, p_ends);
    IF v_caught THEN
        EXECUTE format('ALTER TABLE @schema@.%I ATTACH PARTITION @schema@.%I DEFAULT', p_table, p_table || '_default');
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.make_partition(text, timestamptz, timestamptz) IS
    'Internal: makes a partition of job_log or job_detail, with the rows of that time that the default partition has caught.';

CREATE OR REPLACE FUNCTION @schema@.make_partitions() RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    -- at most so many at once: they are made in one transaction, perhaps a logger's
    v_limit  constant integer := 10;
    v_every  text;
    v_table  text;
    v_begins timestamptz;
    v_ends   timestamptz;
    v_ahead  timestamptz;
    v_made   integer;
    v_most   integer := 0;
BEGIN
    SELECT p.every INTO v_every
      FROM partitioning AS p
     WHERE (SELECT c.relkind FROM pg_class AS c WHERE c.oid = 'job_log'::regclass) = 'p';
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    -- at least two partitions, and more than a week: so somebody notices in time if no more are made
    v_ahead := greatest(now() + ('2 ' || v_every)::interval, now() + interval '8 days');
    FOREACH v_table IN ARRAY ARRAY['job_detail', 'job_log'] LOOP
        v_made := 0;
        -- of times before now, only those since the last partition
        SELECT max(p.ends) INTO v_begins FROM partitions_of(v_table) AS p WHERE p.begins <= now();
        v_begins := coalesce(v_begins, date_trunc(v_every, now()));
        WHILE v_begins < v_ahead AND v_made < v_limit LOOP
            SELECT p.ends INTO v_ends FROM partitions_of(v_table) AS p WHERE p.begins <= v_begins AND p.ends > v_begins;
            IF NOT FOUND THEN
                IF v_begins < now() THEN
                    -- after years without a run, of which nothing was caught, no partition is made for each day of them
                    v_begins := greatest(v_begins, date_trunc(v_every, least(
                        now(),
                        (SELECT min(start_time) FROM job_log_default WHERE start_time >= v_begins),
                        (SELECT min(start_time) FROM job_detail_default WHERE start_time >= v_begins))));
                END IF;
                v_ends := least(date_trunc(v_every, v_begins + ('1 ' || v_every)::interval),
                                (SELECT min(p.begins) FROM partitions_of(v_table) AS p WHERE p.begins > v_begins));
                PERFORM make_partition(v_table, v_begins, v_ends);
                v_made := v_made + 1;
            END IF;
            v_begins := v_ends;
        END LOOP;
        v_most := greatest(v_most, v_made);
    END LOOP;
    RETURN v_most;
END
$$;
COMMENT ON FUNCTION @schema@.make_partitions() IS
    'Internal: makes the partitions of the times to come that are not there yet, as the table partitioning says, ten at most; returns how '
    'many.';

-- What a jobmonctl partition that was killed has left behind would refuse runs before long.
DO $$
DECLARE
    v_drop text;
BEGIN
    FOR v_drop IN
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname)
          FROM pg_constraint AS k
         WHERE k.conrelid IN ('@schema@.job_log'::regclass, '@schema@.job_detail'::regclass)
           AND k.conname IN ('job_log_upto', 'job_detail_upto')
           AND substring(pg_get_constraintdef(k.oid) FROM '''([^'']+)''')::timestamptz < now() + interval '12 hours'
    LOOP
        EXECUTE v_drop;
    END LOOP;
END
$$;

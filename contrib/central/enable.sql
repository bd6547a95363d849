-- Run this on the central server, in the central log's database, as the superuser who has created the subscription WITH (enabled = false):
--
--     psql -d DB -v subscription=web1 -f enable.sql
--
-- Enables the subscription, unless it would write other tables than job_log and job_detail. A server's administrator chooses what the
-- server publishes. A subscription writes each published table that exists here, with the rights of that table's owner, but only
-- job_log and job_detail have a trigger that refuses rows of other servers. CREATE SUBSCRIPTION chooses the tables, and so does REFRESH
-- PUBLICATION: never use the latter, because it would bypass this file.
\set ON_ERROR_STOP on
\if :{?subscription}
\else
    \set subscription ''
\endif
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT set_config('central.subscription', :'subscription', true) \g /dev/null
DO $$
DECLARE
    v_name   constant text := current_setting('central.subscription');
    v_others text;
BEGIN
    IF v_name = '' THEN
        RAISE EXCEPTION 'say which subscription to enable: psql -v subscription=web1 -f enable.sql';
    END IF;
    SELECT string_agg(r.srrelid::regclass::text, ', ' ORDER BY r.srrelid::regclass::text)
      INTO v_others
      FROM pg_subscription AS s
      JOIN pg_database AS d ON d.oid = s.subdbid
      JOIN pg_subscription_rel AS r ON r.srsubid = s.oid
     WHERE s.subname = v_name
       AND d.datname = current_database()
       AND r.srrelid NOT IN ('jobmon.job_log'::regclass, 'jobmon.job_detail'::regclass);
    IF v_others IS NOT NULL THEN
        RAISE EXCEPTION 'the subscription % would write %, too', v_name, v_others
            USING HINT = 'DROP SUBSCRIPTION, and ask the server''s administrator about that publication.';
    END IF;
    EXECUTE format('ALTER SUBSCRIPTION %I ENABLE', v_name);
END
$$;
COMMIT;

-- On the central server, as the superuser who has made a subscription WITH (enabled = false), in the central log's database:
--
--     psql -d DB -v subscription=web1 -f enable.sql
--
-- Enables it, unless it would write other tables than job_log and job_detail. What a server publishes is its administrator's choice:
-- each table that it names, and that there is here, is written, with the rights of that table's owner. Only those two have a trigger
-- that refuses what isn't the server's. The tables are chosen when the subscription is made, and by REFRESH PUBLICATION: so don't use that.
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

-- The changes for ALTER ROLE, in order, after which a role has the settings of the link's role (link_settings.sql), and no others in any
-- database. Settings that only a superuser can change are left out, unless bootstrap's role h may change them (@may_set@); RESET ALL
-- doesn't change them then, either. Values that a site may choose are kept, except for an idle_session_timeout of less than a second: any
-- user of an open link can set that, and if the link ended between any two calls, nothing would be logged.
WITH found AS (
    SELECT r.setdatabase AS database, r.setconfig AS config
      FROM pg_db_role_setting AS r
     WHERE r.setrole = (SELECT o.oid FROM pg_roles AS o WHERE o.rolname = %(role)s)
), wanted AS (
    SELECT s.name, v.value, s.takes_superuser, s.name || '=' || v.value AS entry
      FROM @schema/link_settings.sql@
     CROSS JOIN LATERAL (
            SELECT coalesce(min(e.value) FILTER (
                       WHERE CASE WHEN s.name <> 'idle_session_timeout' THEN true
                                  WHEN e.value ~ '^[0-9]{1,9} *(ms|s|min|h|d)$' THEN e.value::interval NOT BETWEEN '1 us' AND '999 ms'
                                  ELSE e.value ~ '^(0|[0-9]{4,10})$' END), s.value)
              FROM found AS f
             CROSS JOIN LATERAL (SELECT substr(c.entry, length(s.name) + 2) FROM unnest(f.config) AS c(entry)
                                  WHERE starts_with(c.entry, s.name || '=')) AS e(value)
             WHERE f.database = 0
               AND s.is_a_choice
           ) AS v(value)
     WHERE current_setting(s.name, true) IS NOT NULL  -- transaction_timeout is new in PostgreSQL 17
), reset AS (
    SELECT f.database
      FROM found AS f
     WHERE f.database <> 0
        OR NOT f.config <@ ARRAY(SELECT w.entry FROM wanted AS w)
)
SELECT c.change
  FROM (SELECT 1, coalesce('IN DATABASE ' || quote_ident(d.datname) || ' ', '') || 'RESET ALL'
          FROM reset AS r
          LEFT JOIN pg_database AS d ON d.oid = r.database
         UNION ALL
        SELECT 2, format('SET %%I = %%L', s.name, s.value)
          FROM wanted AS s
          JOIN pg_roles AS h ON h.rolname = current_user
         WHERE (EXISTS (SELECT FROM reset AS r WHERE r.database = 0)
                OR NOT EXISTS (SELECT FROM found AS f WHERE f.database = 0 AND s.entry = ANY (f.config)))
           AND (NOT s.takes_superuser
                OR h.rolsuper
                OR h.rolcreaterole
                   AND (current_setting('server_version_num')::integer < 160000 OR pg_has_role(%(role)s, 'MEMBER WITH ADMIN OPTION'))
                   AND @may_set@)
       ) AS c(place, change)
 ORDER BY c.place

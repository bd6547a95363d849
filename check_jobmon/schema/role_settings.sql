-- What ALTER ROLE has to change, in this order, so that the role has the settings of the link's role (@link_settings@), and no others
-- in any database. Settings that take a superuser are left out unless bootstrap's role h may change them (@may_set@); RESET ALL
-- leaves them as they are then.
WITH found AS (
    SELECT r.setdatabase AS database, r.setconfig AS config
      FROM pg_db_role_setting AS r
     WHERE r.setrole = (SELECT o.oid FROM pg_roles AS o WHERE o.rolname = %(role)s)
), wanted AS (
    SELECT s.*, s.name || '=' || s.value AS entry
      FROM @link_settings@
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

-- What ALTER ROLE has to change, in this order, so that the role has the settings of the link's role (@link_settings@), and no others
-- in any database. With each change, whether it takes a superuser. RESET ALL leaves such settings as they are unless a superuser
-- executes it.
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
SELECT c.change, c.takes_superuser
  FROM (SELECT 1, coalesce('IN DATABASE ' || quote_ident(d.datname) || ' ', '') || 'RESET ALL', false
          FROM reset AS r
          LEFT JOIN pg_database AS d ON d.oid = r.database
         UNION ALL
        SELECT 2, format('SET %%I = %%L', w.name, w.value), w.takes_superuser
          FROM wanted AS w
         WHERE EXISTS (SELECT FROM reset AS r WHERE r.database = 0)
            OR NOT EXISTS (SELECT FROM found AS f WHERE f.database = 0 AND w.entry = ANY (f.config))
       ) AS c(place, change, takes_superuser)
 ORDER BY c.place

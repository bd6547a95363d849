-- What ALTER ROLE has to change, in this order, so that a role has the settings `names` with the values `wanted`, and no others in
-- any database. With each, whether it takes a superuser (`powerful`): RESET ALL leaves such a setting as it is unless a superuser
-- executes it.
WITH found AS (
    SELECT s.setdatabase, s.setconfig
      FROM pg_db_role_setting AS s
      JOIN pg_roles AS r ON r.oid = s.setrole
     WHERE r.rolname = %(role)s
), wanted AS (
    SELECT w.number, w.name, w.value, w.name || '=' || w.value AS entry
      FROM unnest(%(names)s::text[], %(wanted)s::text[]) WITH ORDINALITY AS w(name, value, number)
     WHERE current_setting(w.name, true) IS NOT NULL  -- transaction_timeout is new in PostgreSQL 17
), foreign_settings AS (
    SELECT f.setdatabase
      FROM found AS f
     WHERE f.setdatabase <> 0
        OR NOT f.setconfig <@ ARRAY(SELECT w.entry FROM wanted AS w)
)
SELECT c.change, c.takes_superuser
  FROM (SELECT 0, coalesce(format('IN DATABASE %%I ', d.datname), '') || 'RESET ALL', false
          FROM foreign_settings AS f
          LEFT JOIN pg_database AS d ON d.oid = f.setdatabase
         UNION ALL
        SELECT w.number, format('SET %%I = %%L', w.name, w.value), w.name = ANY (%(powerful)s::text[])
          FROM wanted AS w
         WHERE EXISTS (SELECT FROM foreign_settings AS f WHERE f.setdatabase = 0)
            OR NOT EXISTS (SELECT FROM found AS f WHERE f.setdatabase = 0 AND w.entry = ANY (f.setconfig))
       ) AS c(number, change, takes_superuser)
 ORDER BY c.number

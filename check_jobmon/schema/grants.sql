-- The statements that give a role its rights: USAGE on the schema; EXECUTE on the functions, whatever their arguments, and SELECT on
-- the views that `names` lists; and the rights on tables that `tables` lists as JSON: {"SELECT": ["job_log", ...], ...}.
SELECT format('GRANT USAGE ON SCHEMA %%I TO %%I', %(schema)s::text, %(role)s::text)
 UNION ALL
SELECT format('GRANT EXECUTE ON FUNCTION %%s TO %%I', string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text),
              %(role)s::text)
  FROM pg_proc AS p
 WHERE p.proname = ANY (%(names)s::text[])
   AND p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
HAVING count(*) > 0
 UNION ALL
SELECT format('GRANT %%s ON %%s TO %%I', t.rights, string_agg(format('%%I.%%I', %(schema)s::text, t.name), ', '), %(role)s::text)
  FROM (SELECT r.key, jsonb_array_elements_text(r.value)
          FROM jsonb_each(%(tables)s::jsonb) AS r
         UNION ALL
        SELECT 'SELECT', c.relname
          FROM pg_class AS c
         WHERE c.relname = ANY (%(names)s::text[])
           AND c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
           AND c.relkind = 'v') AS t(rights, name)
 GROUP BY t.rights

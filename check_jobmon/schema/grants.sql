-- The statements that give the logging role and the monitoring role their rights: USAGE on the schema, EXECUTE on the functions
-- with the names listed (`log`, `monitor`), whatever their arguments, and SELECT on the tables that a monitoring role may read.
SELECT format('GRANT USAGE ON SCHEMA %%1$I TO %%2$I, %%3$I', n.schema, n.schema || '_log', n.schema || '_monitor')
  FROM (SELECT %(schema)s::text) AS n(schema)
 UNION ALL
(SELECT format('GRANT EXECUTE ON FUNCTION %%s TO %%I',
               string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text), g.role)
   FROM (VALUES (1, %(schema)s || '_log', %(log)s::text[]),
                (2, %(schema)s || '_monitor', %(monitor)s::text[])) AS g(number, role, functions)
   JOIN pg_proc AS p ON p.proname = ANY (g.functions)
  WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
  GROUP BY g.number, g.role
  ORDER BY g.number)
 UNION ALL
SELECT format('GRANT SELECT ON %%s TO %%I', string_agg(format('%%I.%%I', %(schema)s::text, t.name), ', '), %(schema)s || '_monitor')
  FROM unnest(%(tables)s::text[]) AS t(name)

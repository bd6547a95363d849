-- The statements that give the logging role and the monitoring role their rights: USAGE on the schema, EXECUTE on the functions
-- with the names listed, whatever their arguments, and SELECT on the tables that a monitoring role may read.
SELECT format('GRANT USAGE ON SCHEMA %%I TO %%I, %%I', %(schema)s::text, %(log)s::text, %(monitor)s::text)
 UNION ALL
(SELECT format('GRANT EXECUTE ON FUNCTION %%s TO %%I',
               string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text), g.role)
   FROM (VALUES (1, %(log)s::text, %(log_functions)s::text[]),
                (2, %(monitor)s::text, %(monitor_functions)s::text[])) AS g(number, role, functions)
   JOIN pg_proc AS p ON p.proname = ANY (g.functions)
  WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
  GROUP BY g.number, g.role
  ORDER BY g.number)
 UNION ALL
SELECT format('GRANT SELECT ON %%s TO %%I', string_agg(format('%%I.%%I', %(schema)s::text, t.name), ', '), %(monitor)s::text)
  FROM unnest(%(tables)s::text[]) AS t(name)

-- Sent over the link: which role it has logged in as, whether that is a superuser, and the statements that give the role the
-- settings that are needed and that it doesn't have. @settings@: those, as a list of (name, value).
SELECT current_user, pg_catalog.current_setting('is_superuser'),
       (SELECT pg_catalog.string_agg(pg_catalog.format('ALTER ROLE %I SET %I = %L', current_user, s.name, s.value), '; ')
          FROM (VALUES @settings@) AS s(name, value)
         WHERE pg_catalog.current_setting(s.name) OPERATOR(pg_catalog.<>) s.value)

-- Executed over the link: the role that the link has logged in as, whether that is a superuser, and the statements that give the role
-- those of the settings in link_settings.sql that are needed and that it lacks.
SELECT current_user, pg_catalog.current_setting('is_superuser'),
       (SELECT pg_catalog.string_agg(pg_catalog.format('ALTER ROLE %I SET %I = %L', current_user, s.name, s.value), '; ')
          FROM @schema/link_settings.sql@
         WHERE s.is_needed
           AND pg_catalog.current_setting(s.name, true) OPERATOR(pg_catalog.<>) s.value)

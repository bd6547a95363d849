-- Since when this server takes writes. A run from before that was the former primary's, whatever session has its pid here: until it is
-- promoted, a standby has no WAL writer. -infinity if the reader may not see when that began, or if the clock has been set back since.
coalesce((SELECT min(w.backend_start)
            FROM pg_stat_get_activity(NULL) AS w
           WHERE w.backend_type = 'walwriter'
             AND w.backend_start <= now()), '-infinity')

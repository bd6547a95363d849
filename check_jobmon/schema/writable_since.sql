-- Since when this server accepts writes. A run that began earlier ran on the former primary, so a session with the same pid on this
-- server is another one. This is the time at which the WAL writer started, which a standby doesn't have until it is promoted. -infinity
-- if the reader may not see that time, or if the clock has been set back since.
coalesce((SELECT min(w.backend_start)
            FROM pg_stat_get_activity(NULL) AS w
           WHERE w.backend_type = 'walwriter'
             AND w.backend_start <= now()), '-infinity')

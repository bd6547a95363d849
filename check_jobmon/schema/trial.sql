-- Logs a failed run with a step over the open link %(link)s, as the logging functions would, and rolls it back. All statements are sent
-- in one message, because link_serve() refuses a transaction that an earlier message has begun. No other session can see the run. Its
-- job_id is a random negative number, which no other run has.
SELECT @dblink@.dblink_exec(
           %(link)s::text,
           'BEGIN;' || string_agg(format('CALL @schema@.link_serve(%%L, %%L);', s.v_signed, @schema/signature.sql@), '' ORDER BY s.number)
           || 'ROLLBACK')
  FROM (SELECT c.number,
               (ARRAY[c.call[1], current_user::text, pg_backend_pid()::text,
                      extract(epoch FROM clock_timestamp())::numeric::text] || c.call[2:])::text AS v_signed
          FROM (SELECT ((-random() - 1) * 4e18)::bigint::text) AS t(id)
         CROSS JOIN LATERAL (
                VALUES (1, ARRAY['add_job', t.id, 'BOOTSTRAP']),
                       (2, ARRAY['add_step', t.id, t.id, 'try the link']),
                       (3, ARRAY['update_step', t.id, 'OK', 'tried']),
                       (4, ARRAY['end_job', t.id, '3'])
               ) AS c(number, call)) AS s

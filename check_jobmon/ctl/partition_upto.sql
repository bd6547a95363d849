-- Where the partition with what has been logged so far ends, if those that follow are as long as @every@: at the first of their
-- bounds that is a day away or more. If the command is killed, its CHECK constraint refuses no run before that, and bootstrap drops it.
SELECT to_char(date_trunc(@every@, now() + interval '1 day' + ('1 ' || @every@)::interval, 'UTC') AT TIME ZONE 'UTC',
               'YYYY-MM-DD HH24:MI:SS"+00"')

-- The end of the partition with all runs so far: the first boundary between partitions of the length @every@ that is at least a day away.
-- If the command is killed, its CHECK constraint refuses runs from that time on; bootstrap drops it before.
SELECT to_char(date_trunc(@every@, now() + interval '1 day' + ('1 ' || @every@)::interval, 'UTC') AT TIME ZONE 'UTC',
               'YYYY-MM-DD HH24:MI:SS"+00"')

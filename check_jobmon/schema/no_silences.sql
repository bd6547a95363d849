-- What silences.sql returns if there are no silences. For older schemas, which have no table job_silence.
SELECT NULL::bigint AS silence_id, NULL::text AS pattern, NULL::timestamptz AS starts, NULL::timestamptz AS ends,
       NULL::boolean AS until_next_run, NULL::text AS reason, NULL::text AS created_by, NULL::text AS name_like,
       NULL::text AS name_regex
 WHERE false

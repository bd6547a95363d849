-- Copies everything except runs and steps. The configuration of a job that is already in the new schema is kept. `since` is -infinity,
-- because the old schema has no such column.
-- @old@: the schema to migrate, @schema@: the new one, @code@ and @text@: the columns of the old job_status_text.
INSERT INTO @schema@.job_status_text AS s (alert_code, alert_text, error_code, error_text)
SELECT t.@code@, t.@text@, t.@code@, t.@text@
  FROM @old@.job_status_text AS t
    ON CONFLICT (alert_code) DO UPDATE SET alert_text = excluded.alert_text, error_text = excluded.error_text
 WHERE s.alert_text <> excluded.alert_text;

INSERT INTO @schema@.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity, since, escalate)
SELECT c.job_name, c.warn_threshold, c.error_threshold, coalesce(c.active, false),
       least(greatest(coalesce(c.sensitivity, 0), 0), 32767), '-infinity',
       CASE WHEN to_jsonb(c) ->> 'escalate' ~ '^[1-9][0-9]{0,3}$' THEN (to_jsonb(c) ->> 'escalate')::smallint END
  FROM @old@.job_check_config AS c
    ON CONFLICT (job_name) DO NOTHING;

INSERT INTO @schema@.job_check_log (job_id, job_name, alert_code)
SELECT DISTINCT ON (c.job_id) c.job_id, c.job_name, c.alert_code
  FROM @old@.job_check_log AS c
 ORDER BY c.job_id, c.alert_code DESC

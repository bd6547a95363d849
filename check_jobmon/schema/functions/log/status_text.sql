-- The word for an alert code, for functions that run as the caller, who may not read the table.
CREATE OR REPLACE FUNCTION @schema@.status_text(p_alert_code integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
    SELECT alert_text FROM job_status_text WHERE alert_code = p_alert_code
$$;
COMMENT ON FUNCTION @schema@.status_text(integer) IS
    'The word for an alert code, from job_status_text. Pass it to update_step() as the status.';

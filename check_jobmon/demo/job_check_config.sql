-- What the demo's jobs are configured to be.
INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity) VALUES
    ('CATALOG REFRESH', '1 day', '2 days', true, 0),
    ('CUBE', '1 day', '2 days', true, 0),
    ('INVENTORY SYNC', '1 day', '2 days', true, 2),
    ('MONTHLY REPORT', '31 days', '32 days', true, 0),
    ('NIGHTLY ETL', '1 day', '30 hours', true, 1),
    ('PARTITION UPKEEP', '1 second', '1 day', true, 0),
    ('VACUUM BIG TABLES', '1 day', '2 days', true, 0),
    ('WAREHOUSE LOAD', '1 second', '1 day', true, 0)

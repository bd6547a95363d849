-- The words for the alert codes. @code@, @text@: the columns of job_status_text, error_code and error_text in older schemas.
SELECT s.@code@, left(s.@text@, 200)
  FROM @schema@.job_status_text AS s
 WHERE s.@code@ IN (1, 2, 3)
 LIMIT 3

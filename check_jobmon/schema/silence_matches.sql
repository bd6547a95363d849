-- Whether the silence s is about the job with the name n.upper_name. The regular expression, which is slow, comes last.
CASE WHEN s.name_like IS NULL THEN n.upper_name = s.pattern
     WHEN s.name_regex IS NULL THEN n.upper_name LIKE s.name_like
     ELSE n.upper_name LIKE s.name_like AND n.upper_name ~ s.name_regex OR n.upper_name = s.pattern
END

-- Lifts the time limits that the database may have for its sessions, for this transaction: with a large log, a statement can take hours.
-- Servers of older versions lack some of them. The column's name says that the rows are no answer (session.py).
SELECT set_config(name, '0', true) AS setting
  FROM pg_settings
 WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')

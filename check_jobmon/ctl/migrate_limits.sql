-- Lifts the limits that would end a long transaction, for this transaction. Servers of older versions lack some of them.
SELECT set_config(name, '0', true)
  FROM pg_settings
 WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')

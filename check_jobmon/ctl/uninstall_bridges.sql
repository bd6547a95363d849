-- Removes all bridges.
SELECT @schema@.bridge_remove(b.name) FROM @schema@.bridge AS b WHERE b.bridged IS NOT NULL

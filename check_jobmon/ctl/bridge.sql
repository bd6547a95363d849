-- Executes jobmonctl bridge, and returns the lines to print. Parameters: action (bridge, remove or list), name, defaults.
SELECT @schema@.bridge_begin(%(name)s::text, %(defaults)s::jsonb) WHERE %(action)s = 'bridge'
 UNION ALL
SELECT @schema@.bridge_remove(%(name)s::text) WHERE %(action)s = 'remove'
 UNION ALL
SELECT * FROM @schema@.bridges() WHERE %(action)s = 'list'

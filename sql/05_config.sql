
-- The trigger of every configuration table: all backends read it again.

CREATE FUNCTION config_changed() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_config_changed';
COMMENT ON FUNCTION config_changed() IS
'Trigger of configuration tables: makes every backend read the table again.';

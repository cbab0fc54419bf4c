
-- After a standby was promoted, or a backup recovered to a point in time.

CREATE FUNCTION wal_timeline() RETURNS int
LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_wal_timeline';
COMMENT ON FUNCTION wal_timeline() IS 'The timeline that this server writes: another after every promotion.';

-- Its columns are read by position in src/promotion.c.
CREATE TABLE usage_timeline (
	timeline int PRIMARY KEY,
	confirmed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE usage_timeline IS
'Timelines on which the ledger is known to be good: that of CREATE EXTENSION, and those of usage_confirm_promotion().';
COMMENT ON COLUMN usage_timeline.timeline IS 'wal_timeline().';
COMMENT ON COLUMN usage_timeline.confirmed_at IS 'Since when.';
INSERT INTO usage_timeline (timeline) VALUES (wal_timeline());

CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON usage_timeline
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON usage_timeline
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE usage_timeline ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE usage_timeline ENABLE ALWAYS TRIGGER config_truncated;

CREATE FUNCTION usage_confirm_promotion() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO relay_guard.usage_timeline (timeline) VALUES (relay_guard.wal_timeline())
	ON CONFLICT DO NOTHING;
	RETURN FOUND;
END $$;
COMMENT ON FUNCTION usage_confirm_promotion() IS
'Opens quotas and budgets on a promoted server where relay_guard.after_promotion is deny; false: they were.';

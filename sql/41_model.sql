
-- Models that budgets may be spent on, and what they cost.

CREATE DOMAIN micro_usd AS bigint CHECK (VALUE BETWEEN 0 AND 1000000000000000);
COMMENT ON DOMAIN micro_usd IS 'Money: millionths of a US dollar, up to a thousand million dollars.';
CREATE DOMAIN token_count AS bigint CHECK (VALUE BETWEEN 0 AND 1000000000);
COMMENT ON DOMAIN token_count IS 'Tokens of one call.';

-- Its columns are read by position in src/model.c.
CREATE TABLE model (
	name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$'),
	provider text NOT NULL CHECK (provider ~ '^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}$'),
	input_price micro_usd NOT NULL,
	output_price micro_usd NOT NULL,
	embedding_price micro_usd,
	max_input_tokens token_count NOT NULL,
	max_output_tokens token_count NOT NULL,
	enabled boolean NOT NULL DEFAULT true,
	version int NOT NULL DEFAULT 1 CHECK (version > 0),
	since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE model IS
'The models that calls may reserve or charge for; any other is refused. None comes with relay_guard: prices would lie.';
COMMENT ON COLUMN model.name IS 'As callers name it.';
COMMENT ON COLUMN model.input_price IS 'Millionths of a US dollar for a million input tokens: 3 USD are 3000000.';
COMMENT ON COLUMN model.output_price IS 'The same for output tokens.';
COMMENT ON COLUMN model.embedding_price IS 'The same for tokens that are embedded; NULL: it makes no embeddings.';
COMMENT ON COLUMN model.max_input_tokens IS 'The most that a call may send.';
COMMENT ON COLUMN model.max_output_tokens IS 'The most that a call may ask for.';
COMMENT ON COLUMN model.enabled IS 'If not, it is refused like one that is not here.';
COMMENT ON COLUMN model.version IS
'New at every change, and never used again for that name; the ledger''s rows carry it, with the prices.';
COMMENT ON COLUMN model.since IS 'When this version began.';

CREATE TABLE model_version (
	model text NOT NULL,
	version int NOT NULL,
	provider text NOT NULL,
	input_price micro_usd NOT NULL,
	output_price micro_usd NOT NULL,
	embedding_price micro_usd,
	max_input_tokens token_count NOT NULL,
	max_output_tokens token_count NOT NULL,
	enabled boolean NOT NULL,
	since timestamptz NOT NULL,
	until timestamptz NOT NULL,
	PRIMARY KEY (model, version)
);
COMMENT ON TABLE model_version IS
'What models were before: a row for each version that a change or a DELETE has ended. It only grows.';
COMMENT ON COLUMN model_version.until IS 'When the version ended.';

SELECT pg_catalog.pg_extension_config_dump('model', '');
SELECT pg_catalog.pg_extension_config_dump('model_version', '');

-- A dump brings its versions back, in whatever order the two tables are read.
CREATE FUNCTION model_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	last CONSTANT int := (SELECT max(version) FROM relay_guard.model_version WHERE model = NEW.name);
BEGIN
	IF TG_OP = 'INSERT' THEN
		NEW.version := greatest(NEW.version, last + 1);
		RETURN NEW;
	END IF;
	NEW.version := greatest(CASE WHEN NEW.name = OLD.name THEN OLD.version ELSE 0 END, last) + 1;
	NEW.since := clock_timestamp();
	RETURN NEW;
END $$;
COMMENT ON FUNCTION model_changed() IS 'Trigger: a model that is new or was changed has a new version.';

CREATE FUNCTION model_replaced() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO relay_guard.model_version (model, version, provider, input_price, output_price,
		embedding_price, max_input_tokens, max_output_tokens, enabled, since, until)
	VALUES (OLD.name, OLD.version, OLD.provider, OLD.input_price, OLD.output_price,
		OLD.embedding_price, OLD.max_input_tokens, OLD.max_output_tokens, OLD.enabled, OLD.since,
		CASE TG_OP WHEN 'DELETE' THEN clock_timestamp() ELSE NEW.since END);
	RETURN NULL;
END $$;
COMMENT ON FUNCTION model_replaced() IS 'Trigger: what a model was goes to model_version.';

CREATE FUNCTION model_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
		MESSAGE = format('relay_guard.%s refuses %s', TG_TABLE_NAME, TG_OP),
		DETAIL = 'The history of models tells what the ledger''s prices were, and is never lost.',
		HINT = 'Models can be changed, disabled and deleted by row.';
END $$;
COMMENT ON FUNCTION model_kept() IS 'Trigger: the history of models only grows.';

CREATE TRIGGER model_inserted BEFORE INSERT ON model
FOR EACH ROW EXECUTE FUNCTION model_changed();
CREATE TRIGGER model_updated BEFORE UPDATE ON model
FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION model_changed();
CREATE TRIGGER model_ended AFTER UPDATE ON model
FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION model_replaced();
CREATE TRIGGER model_deleted AFTER DELETE ON model
FOR EACH ROW EXECUTE FUNCTION model_replaced();
CREATE TRIGGER model_kept BEFORE TRUNCATE ON model
FOR EACH STATEMENT EXECUTE FUNCTION model_kept();
CREATE TRIGGER model_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON model_version
FOR EACH STATEMENT EXECUTE FUNCTION model_kept();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON model
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON model
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE model ENABLE ALWAYS TRIGGER model_inserted;
ALTER TABLE model ENABLE ALWAYS TRIGGER model_updated;
ALTER TABLE model ENABLE ALWAYS TRIGGER model_ended;
ALTER TABLE model ENABLE ALWAYS TRIGGER model_deleted;
ALTER TABLE model ENABLE ALWAYS TRIGGER model_kept;
ALTER TABLE model ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE model ENABLE ALWAYS TRIGGER config_truncated;
ALTER TABLE model_version ENABLE ALWAYS TRIGGER model_kept;

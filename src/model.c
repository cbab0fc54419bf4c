/*
 * model.c
 *		This backend's copy of relay_guard.model; model.h has the contract.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "config_cache.h"
#include "errcodes.h"
#include "model.h"

#define SHOWN_NAME 128			/* bytes of a name that somebody made up */
#define SHOWN_MODELS 50			/* in the hint */

/* The columns of relay_guard.model, in order. */
enum
{
	COL_NAME,
	COL_PROVIDER,
	COL_INPUT_PRICE,
	COL_OUTPUT_PRICE,
	COL_EMBEDDING_PRICE,
	COL_MAX_INPUT_TOKENS,
	COL_MAX_OUTPUT_TOKENS,
	COL_ENABLED,
	COL_VERSION,
	NCOLS
};

typedef struct Models
{
	int			count;
	int			size;
	RgModel    *rows;			/* by name */
} Models;

static void *load_models(TableScanDesc scan, MemoryContext context, void *previous);

static RgConfigCache cache = {.table = "model",.natts = NCOLS,.load = load_models};

/*
 * Reading the table
 */

static RgModel
read_model(const Datum *values, const bool *nulls)
{
	RgModel		model;

	model.name = TextDatumGetCString(values[COL_NAME]);
	model.provider = TextDatumGetCString(values[COL_PROVIDER]);
	model.version = DatumGetInt32(values[COL_VERSION]);
	model.input_price = DatumGetInt64(values[COL_INPUT_PRICE]);
	model.output_price = DatumGetInt64(values[COL_OUTPUT_PRICE]);
	model.embedding_price = nulls[COL_EMBEDDING_PRICE] ? -1 :
		DatumGetInt64(values[COL_EMBEDDING_PRICE]);
	model.max_input_tokens = DatumGetInt64(values[COL_MAX_INPUT_TOKENS]);
	model.max_output_tokens = DatumGetInt64(values[COL_MAX_OUTPUT_TOKENS]);
	model.enabled = DatumGetBool(values[COL_ENABLED]);
	return model;
}

static void
add(Models *models, RgModel model)
{
	if (models->count == models->size)
	{
		models->size *= 2;
		models->rows = repalloc_huge(models->rows, models->size * sizeof model);
	}
	models->rows[models->count++] = model;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(((const RgModel *) a)->name, ((const RgModel *) b)->name);
}

static void *
load_models(TableScanDesc scan, MemoryContext context, void *previous)
{
	Models	   *models = palloc0(sizeof *models);
	Datum	   *values;
	bool	   *nulls;

	models->size = 16;
	models->rows = palloc(models->size * sizeof *models->rows);
	while (rg_config_next(scan, &values, &nulls))
		add(models, read_model(values, nulls));
	qsort(models->rows, models->count, sizeof *models->rows, compare);
	return models;
}

void
rg_model_init(void)
{
	rg_config_register(&cache);
}

/*
 * Looking up
 */

static const RgModel *
find(const Models *models, const char *name)
{
	const RgModel wanted = {.name = name};

	return bsearch(&wanted, models->rows, models->count, sizeof *models->rows, compare);
}

/* "a, b and 3 more", palloc'd; NULL when none is allowed. */
static char *
allowed_models(const Models *models)
{
	StringInfoData list;
	int			count = 0;

	initStringInfo(&list);
	for (int i = 0; i < models->count; i++)
	{
		if (!models->rows[i].enabled || ++count > SHOWN_MODELS)
			continue;
		appendStringInfo(&list, "%s%s", count > 1 ? ", " : "", models->rows[i].name);
	}
	if (count > SHOWN_MODELS)
		appendStringInfo(&list, " and %d more", count - SHOWN_MODELS);
	return count > 0 ? list.data : NULL;
}

static void
refuse(const Models *models, const char *name)
{
	char	   *allowed = allowed_models(models);
	int			shown = pg_mbcliplen(name, strlen(name), SHOWN_NAME);

	ereport(ERROR,
			errcode(ERRCODE_RG_UNPROCESSABLE),
			errmsg("model \"%.*s\" is not allowed", shown, name),
			errdetail("model_not_allowed"),
			allowed != NULL ? errhint("Allowed models: %s.", allowed) :
			errhint("No model is allowed yet: insert those that are into relay_guard.model."));
}

const RgModel *
rg_model_require(const char *name)
{
	const Models *models = rg_config_get(&cache);
	const RgModel *model = find(models, name);

	if (model == NULL || !model->enabled)
		refuse(models, name);
	return model;
}

const RgModel *
rg_model_default(bool (*usable) (const RgModel *model))
{
	const Models *models = rg_config_get(&cache);
	const RgModel *found = NULL;

	for (int i = 0; i < models->count; i++)
	{
		const RgModel *model = &models->rows[i];

		if (model->enabled && model->max_output_tokens > 0 && usable(model) &&
			(found == NULL || model->output_price < found->output_price))
			found = model;
	}
	if (found == NULL)
		refuse(models, "");
	return found;
}
